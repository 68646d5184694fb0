//! The composition root and command line: the main job (`mcsp process`, `probe`, `package`, `serve`), the platform's nodes
//! (`up`, `worker`), what operators do to them, and the client of creators (`login`, `upload`, `content`, `reprocess`).

mod args;
mod client;
mod config;
mod fingerprint_command;
mod ids;
mod key_file;
mod package_command;
mod platform;
mod process;
mod report;
mod reporter;
mod serve;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use serde_json::json;

use args::{Cli, Command, ProbeArgs, ServeArgs};
use key_file::KeyFile;
use reporter::Reporter;

/// The shell's exit status of a program that Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !matches!(cli.command, Command::Up(_) | Command::Worker(_) | Command::Submit(_)) {
        // Nodes and what speaks to them start traces beside their logs.
        mcsp_runtime::telemetry::start();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(cli.command));
    // Work that blocks, such as a digest, is not waited for: nothing it does is visible.
    runtime.shutdown_background();
    code
}

async fn run(command: Command) -> ExitCode {
    let json = match &command {
        Command::Process(args) => args.json,
        Command::Package(args) => args.json,
        _ => false,
    };
    let reporter = Reporter::new(json);
    let interrupted = matches!(command, Command::Process(_));
    let outcome = tokio::select! {
        outcome = dispatch(&command, &reporter) => outcome,
        _ = tokio::signal::ctrl_c(), if interrupted => {
            reporter.clear();
            reporter.event("interrupted", json!({}));
            reporter.line("interrupted: go on with the same command and --resume");
            return ExitCode::from(EXIT_INTERRUPTED);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = format!("{error:#}");
            reporter.event("failed", json!({ "error": message }));
            let _ = writeln!(std::io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: &Command, reporter: &Reporter) -> anyhow::Result<()> {
    match command {
        Command::Process(args) => {
            let table = process::process(args, reporter).await?;
            if !args.json {
                print(&format!("{table}watch with: mcsp serve {}\n", args.out.display()))?;
            }
            Ok(())
        }
        Command::Package(args) => {
            let table = package_command::package_renditions(args, reporter).await?;
            if args.json { Ok(()) } else { print(&table) }
        }
        Command::Probe(args) => probe(args).await,
        Command::Serve(args) => serve_folder(args).await,
        Command::Up(args) => platform::up(&config::load(&args.sources())?).await,
        Command::Worker(args) => platform::up(&config::load(&args.sources())?).await,
        Command::Submit(args) => print(&platform::submit::submit(args).await?),
        Command::Trace(args) => print(&platform::trace::trace(args).await?),
        Command::Dead(args) => print(&platform::dead::dead(args).await?),
        Command::Group(args) => print(&platform::groups::group(args).await?),
        Command::Login(args) => print(&client::account::login(args).await?),
        Command::Upload(args) => print(&client::upload::run(args).await?),
        Command::Content(args) => print(&client::content::run(args).await?),
        Command::Reprocess(args) => print(&client::reprocess::run(args).await?),
        Command::Fingerprint(args) => print(&fingerprint_command::fingerprint(args).await?),
        Command::Match(args) => print(&fingerprint_command::match_file(args).await?),
        Command::Library(args) => print(&fingerprint_command::library(args).await?),
        Command::Config(args) => print(&config::command::run(args)?),
        Command::Openapi => print(&openapi()?),
    }
}

/// Returns the document of the REST interface, its keys in rising order whatever else is built into the program.
fn openapi() -> anyhow::Result<String> {
    let mut document = serde_json::to_value(mcsp_api::openapi(config::upload_bytes_max_default()))?;
    document.sort_all_objects();
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

async fn probe(args: &ProbeArgs) -> anyhow::Result<()> {
    let source = process::open_source(&args.input)?;
    let sandbox = mcsp_sandbox::Sandbox::beside_current_exe(args.isolation.into())?;
    let probe = mcsp_stages::plan::probe(&source, &sandbox, 1).await.map_err(process::failure);
    let probe = probe.with_context(|| args.input.display().to_string())?;
    print(&(serde_json::to_string_pretty(&probe)? + "\n"))
}

async fn serve_folder(args: &ServeArgs) -> anyhow::Result<()> {
    let beside = process::folders::keys_beside(&std::path::absolute(&args.dir)?);
    let path = args.keys.clone().or_else(|| beside.is_file().then_some(beside));
    let keys = match path {
        Some(path) => KeyFile::read(&path)?.licences(),
        None => Vec::new(),
    };
    let options =
        serve::ServeOptions { dir: args.dir.clone(), listen: args.listen, allow_remote: args.allow_remote, keys };
    let shutdown = async {
        // Without a signal handler the default action ends the process, which is what Ctrl-C means here.
        let _ = tokio::signal::ctrl_c().await;
    };
    serve::serve(options, shutdown).await
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes()).context("could not write to stdout")
}
