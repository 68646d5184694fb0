//! Who waits for commits: the relay for messages, the sender of webhooks for deliveries, listeners for a user's notices. A
//! commit wakes those of its process; on Postgres, those of every process. All of them look by themselves now and then.

use mcsp_domain::UserId;
use tokio::sync::{Notify, broadcast};

use crate::notice::NOTICE_WAKES_MAX;

/// Users that one notification names; a commit that tells more of them wakes all. A notification of Postgres holds 8000
/// bytes, an id has 36.
#[cfg(feature = "postgres")]
const USERS_MAX: usize = 100;

/// Those who wait in this process.
pub(crate) struct Wakes {
    pub(crate) outbox: Notify,
    pub(crate) deliveries: Notify,
    /// Users with new notices; `None` for whoever it may be.
    pub(crate) notices: broadcast::Sender<Option<UserId>>,
    /// Tells this catalog's own commits from those of others.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "SQLite tells no other process"))]
    id: String,
}

/// What a commit tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Whether there are new messages.
    pub(crate) outbox: bool,
    /// Whether there are new deliveries.
    pub(crate) deliveries: bool,
    /// Who has new notices; each once.
    pub(crate) users: Vec<UserId>,
}

impl Wakes {
    pub(crate) fn new(id: String) -> Self {
        let notices = broadcast::Sender::new(NOTICE_WAKES_MAX);
        Self { outbox: Notify::new(), deliveries: Notify::new(), notices, id }
    }

    /// Wakes those whom a commit concerns.
    pub(crate) fn wake(&self, told: &Told) {
        if told.outbox {
            self.outbox.notify_one();
        }
        if told.deliveries {
            self.deliveries.notify_one();
        }
        for user in &told.users {
            // Nobody listening is no failure.
            let _ = self.notices.send(Some(*user));
        }
    }
}

#[cfg(feature = "postgres")]
impl Wakes {
    /// Wakes everybody: what was told while nobody listened is not known.
    pub(crate) fn wake_all(&self) {
        self.wake(&Told { outbox: true, deliveries: true, users: Vec::new() });
        let _ = self.notices.send(None);
    }

    /// Wakes those whom another catalog's commit concerns; one's own has woken them itself.
    pub(crate) fn wake_by(&self, text: &str) {
        let mut words = text.split(' ');
        if words.next() == Some(&self.id) {
            return;
        }
        let mut told = Told::default();
        for word in words {
            match word {
                "outbox" => told.outbox = true,
                "deliveries" => told.deliveries = true,
                "users" => drop(self.notices.send(None)),
                // What a newer program tells beyond that, its own processes know.
                _ => told.users.extend(UserId::parse(word).ok()),
            }
        }
        self.wake(&told);
    }

    /// Writes what a commit tells as other processes read it.
    pub(crate) fn text(&self, told: &Told) -> String {
        let mut text = self.id.clone();
        let words = [("outbox", told.outbox), ("deliveries", told.deliveries), ("users", told.users.len() > USERS_MAX)];
        for (word, _) in words.into_iter().filter(|(_, is_told)| *is_told) {
            text.push(' ');
            text.push_str(word);
        }
        for user in told.users.iter().filter(|_| told.users.len() <= USERS_MAX) {
            text.push(' ');
            text.push_str(&user.to_string());
        }
        text
    }
}

impl Told {
    /// Returns whether it concerns nobody.
    pub(crate) fn is_nothing(&self) -> bool {
        !self.outbox && !self.deliveries && self.users.is_empty()
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    fn user(number: u8) -> UserId {
        UserId::from_bytes([number; 16])
    }

    #[tokio::test]
    async fn what_one_process_tells_wakes_another_and_not_itself() {
        let (mine, theirs) = (Wakes::new("a".to_owned()), Wakes::new("b".to_owned()));
        let (mut my_notices, mut their_notices) = (mine.notices.subscribe(), theirs.notices.subscribe());
        let text = mine.text(&Told { outbox: true, deliveries: false, users: vec![user(1), user(2)] });
        mine.wake_by(&text);
        theirs.wake_by(&text);
        assert!(my_notices.try_recv().is_err());
        assert_eq!([their_notices.try_recv(), their_notices.try_recv()], [Ok(Some(user(1))), Ok(Some(user(2)))]);
        theirs.outbox.notified().await;
    }

    #[test]
    fn a_notification_keeps_within_its_bytes() {
        let (mine, theirs) = (Wakes::new("a".repeat(36)), Wakes::new("b".to_owned()));
        let mut notices = theirs.notices.subscribe();
        let users: Vec<_> = (0..=255).map(user).collect();
        let few = mine.text(&Told { outbox: true, deliveries: true, users: users[..USERS_MAX].to_vec() });
        assert!(few.len() < 8000, "{}", few.len());
        let all = mine.text(&Told { outbox: true, deliveries: true, users });
        assert_eq!(all, format!("{} outbox deliveries users", "a".repeat(36)));
        theirs.wake_by(&all);
        assert_eq!(notices.try_recv(), Ok(None));
    }
}
