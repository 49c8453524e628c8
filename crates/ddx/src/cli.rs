//! The command line. Subcommands are written here; the flags of settings come from the table of
//! settings.
//!
//! clap collects flags as texts and no more: ranges, kinds and precedence are the settings'
//! business, so that a wrong value is refused in the same words whether it came by flag, variable
//! or file.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use crate::settings::{self, CONFIG_ENV, Definition, FlagValue, Loaded, Problems, SETTINGS};

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Action {
    /// Run the server.
    Serve(Sources),
    /// Print what this machine can hold.
    Plan(Sources, Format),
    /// Print every setting with its origin.
    ConfigPrint(Sources),
    /// Say whether the settings are right.
    ConfigCheck(Sources),
    /// Ask a running server whether it is well.
    Healthcheck(Sources),
    /// Look at the machine.
    Doctor(Sources),
    /// Print completions for a shell.
    Completions(Shell),
    /// Print a generated document.
    Document(String),
}

/// How a subcommand prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For eyes.
    Text,
    /// For programs.
    Json,
}

/// What the command line says about settings.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    flags: Vec<FlagValue>,
    config: Option<PathBuf>,
}

impl Sources {
    /// Puts flags, the process's environment, the file and the defaults together.
    pub(crate) fn load(&self) -> Result<Loaded, Problems> {
        settings::load(&self.flags, self.config.as_deref(), std::env::vars_os())
    }

    fn from_matches(matches: &ArgMatches, takes: fn(&Definition) -> bool) -> Self {
        let flags = SETTINGS
            .iter()
            .filter(|definition| takes(definition))
            .filter_map(|definition| {
                let values = matches.get_many::<String>(definition.key)?;
                Some((
                    definition.key,
                    values.cloned().collect::<Vec<_>>().join(","),
                ))
            })
            .collect();
        Self {
            flags,
            config: matches.get_one::<PathBuf>("config").cloned(),
        }
    }
}

/// All settings.
fn all(_: &Definition) -> bool {
    true
}

/// Those that decide what the ledger leases.
fn of_memory(definition: &Definition) -> bool {
    definition.group == "Memory"
}

/// Those that say where a running server is found.
fn of_address(definition: &Definition) -> bool {
    matches!(
        definition.key,
        "listen" | "path_prefix" | "tls_cert" | "tls_key"
    )
}

/// The whole command, for parsing, help and completions.
pub(crate) fn command() -> Command {
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print JSON");
    let shell = Arg::new("shell")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("The shell to complete in");
    let config = Command::new("config")
        .about("Print or check the settings")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            with_settings(Command::new("print"), all)
                .about("Print every setting, its value and its source"),
        )
        .subcommand(
            with_settings(Command::new("check"), all).about("Check whether the settings are valid"),
        );
    Command::new("ddx")
        .about("Upload server: takes files of any size and gives each a link")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(Command::new("serve"), all).about("Run the server"))
        .subcommand(
            with_settings(Command::new("plan"), of_memory)
                .arg(json)
                .about("Show how many uploads this machine can handle"),
        )
        .subcommand(config)
        .subcommand(
            with_settings(Command::new("healthcheck"), of_address)
                .about("Check that a running server is healthy"),
        )
        .subcommand(
            with_settings(Command::new("doctor"), all)
                .about("Check this machine for problems before you start the server"),
        )
        .subcommand(
            Command::new("completions")
                .arg(shell)
                .about("Print shell completions"),
        )
        .subcommand(
            Command::new("docs")
                .hide(true)
                .arg(Arg::new("name").required(true)),
        )
}

/// Adds `--config` and the flags of the settings that `takes` picks.
fn with_settings(command: Command, takes: fn(&Definition) -> bool) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(format!("TOML file with settings [env: {CONFIG_ENV}]"));
    let flags = SETTINGS
        .iter()
        .filter(|definition| takes(definition))
        .map(flag);
    command.arg(config).args(flags)
}

/// The flag of a setting. The environment is named in the help and read elsewhere.
fn flag(definition: &'static Definition) -> Arg {
    let default = match definition.default {
        Some(default) if !default.is_empty() => format!(" [default: {default}]"),
        _ => String::new(),
    };
    let argument = Arg::new(definition.key)
        .long(definition.flag())
        .value_name(definition.kind.name)
        .help(format!(
            "{} [env: {}]{default}",
            definition.sentences(),
            definition.env()
        ))
        .help_heading(definition.group);
    let argument = if definition.default == Some("") {
        argument.value_parser(value_parser!(String))
    } else {
        argument.value_parser(NonEmptyStringValueParser::new())
    };
    if definition.kind.is_switch {
        argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
    } else if definition.kind.is_list {
        argument.action(ArgAction::Append)
    } else {
        argument
    }
}

/// Reads the arguments, the program's name first.
///
/// # Errors
/// clap's own: also for `--help` and `--version`, which it prints by itself.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Action, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    Ok(match matches.subcommand() {
        Some(("serve", matches)) => Action::Serve(Sources::from_matches(matches, all)),
        Some(("plan", matches)) => {
            let format = if matches.get_flag("json") {
                Format::Json
            } else {
                Format::Text
            };
            Action::Plan(Sources::from_matches(matches, of_memory), format)
        }
        Some(("config", matches)) => match matches.subcommand() {
            Some(("check", matches)) => Action::ConfigCheck(Sources::from_matches(matches, all)),
            Some((_, matches)) => Action::ConfigPrint(Sources::from_matches(matches, all)),
            None => return Err(nothing_asked()),
        },
        Some(("healthcheck", matches)) => {
            Action::Healthcheck(Sources::from_matches(matches, of_address))
        }
        Some(("doctor", matches)) => Action::Doctor(Sources::from_matches(matches, all)),
        Some(("completions", matches)) => match matches.get_one::<Shell>("shell") {
            Some(shell) => Action::Completions(*shell),
            None => return Err(nothing_asked()),
        },
        Some(("docs", matches)) => Action::Document(
            matches
                .get_one::<String>("name")
                .cloned()
                .unwrap_or_default(),
        ),
        _ => return Err(nothing_asked()),
    })
}

fn nothing_asked() -> clap::Error {
    command().error(
        clap::error::ErrorKind::MissingSubcommand,
        "a subcommand is missing",
    )
}

#[cfg(test)]
mod tests {
    use super::{Action, command, parse};
    use crate::settings::SETTINGS;

    fn action(line: &str) -> Result<Action, clap::Error> {
        parse(line.split(' ').map(Into::into))
    }

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_flag_of_serve() {
        for definition in SETTINGS {
            let line = format!("ddx serve --{}=x", definition.flag());
            let Ok(Action::Serve(sources)) = action(&line) else {
                panic!("{line} is not understood")
            };
            assert_eq!(sources.flags, [(definition.key, "x".to_owned())]);
        }
    }

    #[test]
    fn switches_need_no_value_and_lists_take_many() {
        let Ok(Action::Serve(sources)) = action(
            "ddx serve --repr-digest-sha256 --trusted-proxies ::1 --trusted-proxies 10.0.0.0/8,127.0.0.1",
        ) else {
            panic!("is not understood")
        };
        let flags = [
            ("trusted_proxies", "::1,10.0.0.0/8,127.0.0.1"),
            ("repr_digest_sha256", "true"),
        ];
        assert_eq!(
            sources.flags,
            flags.map(|(key, value)| (key, value.to_owned()))
        );
    }

    #[test]
    fn plan_takes_what_decides_memory_and_no_more() {
        assert!(matches!(
            action("ddx plan --json --memory-limit 1GiB"),
            Ok(Action::Plan(..))
        ));
        assert!(action("ddx plan --listen 127.0.0.1:1").is_err());
    }

    #[test]
    fn nothing_asked_is_an_error_with_help() {
        assert!(
            action("ddx").is_err() && action("ddx config").is_err() && action("ddx serv").is_err()
        );
    }
}
