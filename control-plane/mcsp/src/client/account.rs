//! Who the command line speaks as: the session in `$XDG_CONFIG_HOME/mcsp/session.json`, mode 0600. Refresh tokens are used
//! once, so that two commands at a time take turns by a lock.

use std::fs::{self, File};
use std::io::{BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use super::api;
use super::args::LoginArgs;

/// What is kept between commands.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The platform's address.
    pub(crate) server: String,
    /// Works for some minutes.
    pub(crate) access_token: String,
    /// Works once, for a new pair.
    pub(crate) refresh_token: String,
}

/// What the platform answers to a login or a refresh.
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    refresh_token: String,
}

/// Signs in, and keeps the session.
///
/// # Errors
/// When the platform refuses or cannot be reached, or the session cannot be kept.
pub(crate) async fn login(args: &LoginArgs) -> anyhow::Result<String> {
    let server = args.server.trim_end_matches('/').to_owned();
    let password = password(args)?;
    let client = api::client()?;
    if args.register {
        let body = json!({
            "email": args.email, "password": password.as_str(),
            "display_name": args.email.split('@').next().unwrap_or_default(), "role": "creator",
        });
        api::answer(client.post(format!("{server}/api/v1/auth/register")).json(&body)).await?;
    }
    let body = json!({ "email": args.email, "password": password.as_str() });
    let answer = api::answer(client.post(format!("{server}/api/v1/auth/login")).json(&body)).await?;
    let tokens: Tokens = serde_json::from_value(answer).context("the answer to the login")?;
    let session = Session { server, access_token: tokens.access_token, refresh_token: tokens.refresh_token };
    let _turn = lock()?;
    store(&session)?;
    Ok(format!("signed in to {} as {}\n", session.server, args.email))
}

fn password(args: &LoginArgs) -> anyhow::Result<Zeroizing<String>> {
    if args.password_stdin {
        let mut line = Zeroizing::new(String::new());
        std::io::stdin().lock().read_line(&mut line).context("no password on stdin")?;
        return Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()));
    }
    if let Ok(password) = std::env::var("MCSP_PASSWORD") {
        return Ok(Zeroizing::new(password));
    }
    let asked = rpassword::prompt_password("password: ");
    asked.map(Zeroizing::new).context("no password: give --password-stdin or MCSP_PASSWORD where there is no terminal")
}

/// Returns the session.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(crate) fn session() -> anyhow::Result<Session> {
    let path = path()?;
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("not signed in: run mcsp login first"),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    serde_json::from_slice(&text).with_context(|| format!("{} is no session", path.display()))
}

/// Trades the refresh token for a new pair, unless another command did since `stale` was read.
///
/// # Errors
/// When the platform refuses: the session is over.
pub(crate) async fn refresh(client: &reqwest::Client, stale: &Session) -> anyhow::Result<Session> {
    let _turn = tokio::task::spawn_blocking(lock).await??;
    let now = session()?;
    if now.access_token != stale.access_token {
        return Ok(now);
    }
    let body = json!({ "refresh_token": now.refresh_token });
    let answer = api::answer(client.post(format!("{}/api/v1/auth/refresh", now.server)).json(&body)).await;
    let tokens: Tokens = serde_json::from_value(answer.context("the session is over: run mcsp login again")?)
        .context("the answer to the refresh")?;
    let session =
        Session { server: now.server, access_token: tokens.access_token, refresh_token: tokens.refresh_token };
    store(&session)?;
    Ok(session)
}

/// Returns the folder of what the client keeps: sessions and unfinished uploads.
///
/// # Errors
/// When neither `XDG_CONFIG_HOME` nor `HOME` names a folder, or it cannot be made.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME").filter(|base| !base.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let folder = base.or_else(home).context("neither XDG_CONFIG_HOME nor HOME is set")?.join("mcsp");
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.with_context(|| format!("folder {} cannot be made", folder.display()))?;
    Ok(folder)
}

fn path() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("session.json"))
}

fn lock() -> anyhow::Result<File> {
    let path = folder()?.join("session.lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    file.lock().with_context(|| path.display().to_string())?;
    Ok(file)
}

/// Writes the session beside its place and moves it there, so that no reader sees half of it.
fn store(session: &Session) -> anyhow::Result<()> {
    let path = path()?;
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(session)?)?;
    file.sync_all()?;
    fs::rename(&beside, &path).with_context(|| path.display().to_string())
}
