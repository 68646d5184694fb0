//! Which member of a group gets which partition: balanced, and moving as few as balance allows. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::position::Part;

/// A member and the topics that it asked for.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) member: i64,
    pub(super) topics: BTreeSet<i64>,
}

/// A partition and the member that has it, or gets it next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) part: Part,
    pub(super) holder: Option<i64>,
}

/// Returns who shall have each partition, in the order of `seats`. Members that share a topic differ by one partition at
/// most where their topics allow; a partition stays with its holder where balance allows.
pub(super) fn balance(candidates: &[Candidate], seats: &[Seat]) -> Vec<Option<i64>> {
    let topics: BTreeMap<i64, &BTreeSet<i64>> =
        candidates.iter().map(|candidate| (candidate.member, &candidate.topics)).collect();
    let may = |member: i64, part: Part| topics.get(&member).is_some_and(|topics| topics.contains(&part.topic));
    let mut held: BTreeMap<i64, BTreeSet<usize>> = topics.keys().map(|member| (*member, BTreeSet::new())).collect();
    let mut free = Vec::new();
    for (index, seat) in seats.iter().enumerate() {
        match seat.holder.filter(|holder| may(*holder, seat.part)) {
            Some(holder) => {
                held.entry(holder).or_default().insert(index);
            }
            None => free.push(index),
        }
    }
    for index in free {
        let poorest = held.iter().filter(|(member, _)| may(**member, seats[index].part));
        let poorest = poorest.min_by_key(|(member, has)| (has.len(), **member)).map(|(member, _)| *member);
        if let Some(member) = poorest {
            held.entry(member).or_default().insert(index);
        }
    }
    // Each move takes one from a member that has two more than the receiver, so that the sum of squares falls: the loop
    // ends by itself, and the bound only says so.
    for _ in 0..seats.len() * seats.len().max(1) {
        let Some((giver, receiver, index)) = next_move(&held, seats, &may) else { break };
        held.entry(giver).or_default().remove(&index);
        held.entry(receiver).or_default().insert(index);
    }
    let mut answer = vec![None; seats.len()];
    for (member, indexes) in held {
        for index in indexes {
            answer[index] = Some(member);
        }
    }
    answer
}

/// Finds a partition to move: from who has most to who has least, of the topic that the giver has most of beyond what the
/// receiver has, so that every topic spreads over the members; in a topic, one between two of the giver's own, so that
/// neighbours, which hold the chunks of one film, go to different members.
fn next_move(
    held: &BTreeMap<i64, BTreeSet<usize>>,
    seats: &[Seat],
    may: &impl Fn(i64, Part) -> bool,
) -> Option<(i64, i64, usize)> {
    let mut by_count: Vec<(usize, i64)> = held.iter().map(|(member, has)| (has.len(), *member)).collect();
    by_count.sort_unstable();
    for (most, giver) in by_count.iter().rev() {
        for (least, receiver) in &by_count {
            if *most < least + 2 {
                break;
            }
            let of_topic = |member: i64, topic: i64| {
                held[&member].iter().filter(|index| seats[**index].part.topic == topic).count()
            };
            let movable = held[giver].iter().copied().filter(|index| may(*receiver, seats[*index].part));
            let best = movable.max_by_key(|index| {
                let topic = seats[*index].part.topic;
                let (giver_has, receiver_has) = (of_topic(*giver, topic), of_topic(*receiver, topic));
                let beside =
                    |member: i64| neighbours(*index, seats).filter(|near| held[&member].contains(near)).count();
                let apart = 2 + beside(*giver) - beside(*receiver);
                ((giver_has + seats.len()).saturating_sub(receiver_has), apart, seats[*index].part)
            });
            if let Some(index) = best {
                return Some((*giver, *receiver, index));
            }
        }
    }
    None
}

/// Returns the seats beside one, of its topic.
fn neighbours(index: usize, seats: &[Seat]) -> impl Iterator<Item = usize> + '_ {
    let topic = seats[index].part.topic;
    let beside = [index.checked_sub(1), index.checked_add(1)].into_iter().flatten();
    beside.filter(move |near| seats.get(*near).is_some_and(|seat| seat.part.topic == topic))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seats(topics: i64, parts: u32) -> Vec<Seat> {
        (0..topics)
            .flat_map(|topic| (0..parts).map(move |part| Seat { part: Part { topic, part }, holder: None }))
            .collect()
    }

    fn member(member: i64, topics: i64) -> Candidate {
        Candidate { member, topics: (0..topics).collect() }
    }

    #[test]
    fn neighbours_go_to_different_members() {
        let mut seats = seats(1, 16);
        seats.iter_mut().for_each(|seat| seat.holder = Some(1));
        let answer = balance(&[member(1, 1), member(2, 1)], &seats);
        let runs = answer.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(runs <= 2, "{answer:?}");
    }

    fn count(answer: &[Option<i64>], member: i64) -> usize {
        answer.iter().filter(|owner| **owner == Some(member)).count()
    }

    #[test]
    fn a_second_member_gets_half_of_each_topic_and_the_first_keeps_the_rest() {
        let mut seats = seats(2, 8);
        let alone = balance(&[member(1, 2)], &seats);
        assert_eq!(count(&alone, 1), 16);
        for (seat, owner) in seats.iter_mut().zip(&alone) {
            seat.holder = *owner;
        }
        let both = balance(&[member(1, 2), member(2, 2)], &seats);
        assert_eq!((count(&both, 1), count(&both, 2)), (8, 8));
        assert_eq!(count(&both[..8], 2), 4, "each topic is spread");
    }

    #[test]
    fn nobody_gets_a_topic_that_they_did_not_ask_for() {
        let answer = balance(&[member(1, 1), member(2, 2)], &seats(2, 4));
        assert!(answer[4..].iter().all(|owner| *owner == Some(2)));
        assert_eq!(balance(&[], &seats(1, 2)), [None, None]);
    }

    proptest! {
        #[test]
        fn balanced_and_sticky(members in 1_i64..6, topics in 1_i64..4, parts in 1_u32..20, gone in 0_i64..6) {
            let mut seats = seats(topics, parts);
            let all: Vec<Candidate> = (0..members).map(|id| member(id, topics)).collect();
            let first = balance(&all, &seats);
            for (seat, owner) in seats.iter_mut().zip(&first) {
                seat.holder = *owner;
            }
            prop_assert_eq!(&balance(&all, &seats), &first, "nothing moves without a reason");
            let left: Vec<Candidate> = all.into_iter().filter(|candidate| candidate.member != gone).collect();
            let second = balance(&left, &seats);
            let counts: Vec<usize> = left.iter().map(|candidate| count(&second, candidate.member)).collect();
            if let (Some(least), Some(most)) = (counts.iter().min(), counts.iter().max()) {
                prop_assert!(most - least <= 1);
                prop_assert_eq!(counts.iter().sum::<usize>(), seats.len());
                for (before, after) in first.iter().zip(&second) {
                    prop_assert!(*before == Some(gone) || before == after, "who stays keeps what they have");
                }
            }
        }
    }
}
