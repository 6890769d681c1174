//! The command line of `offhook`.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use offhook::config::{Config, Layers};
use offhook::data::{self, Data};
use offhook::log::Log;
use offhook::run::Server;
use offhook::{account, dev};
use offhook_core::directory::{NewAccount, Page};
use toml::Value;
use tracing_subscriber::EnvFilter;

/// Threads of signalling and HTTP allocate for each message; this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Accounts that are listed.
const ALL: Page = Page {
    limit: 100_000,
    offset: 0,
};

const EXAMPLES: &str = "\
Examples:
  offhook dev                              two phones and an account on this machine, kept in ./offhook-data
  offhook dev --sip 192.168.1.5:5060       the same for phones on the local network
  offhook dev --http 127.0.0.1:0 --sip 127.0.0.1:0 --json
                                           on free ports; one line of JSON says which
  offhook check-config --config offhook.toml
  offhook serve --config offhook.toml      what an installation runs
  offhook account create --name Acme       a customer's account, printed with its credentials
  OFFHOOK_LOG=debug offhook dev            every key of the configuration is also a variable

Every key is described in docs/configuration.md. SIGTERM and Ctrl-C drain: no new calls, calls in progress may go on for
`drain_seconds`; a second signal ends at once.";

#[derive(Parser)]
#[command(name = "offhook", version, about = "Programmable SIP endpoints that you host yourself", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything on this machine and print what a softphone needs
    ///
    /// The first start makes an account, the built-in direct dial application and the endpoints alice… and bob…. Later
    /// starts find them again. Customers' URLs on loopback are allowed.
    Dev {
        #[command(flatten)]
        overrides: Overrides,
        /// Print one line of JSON when all listeners are ready, and nothing else, on standard output
        #[arg(long)]
        json: bool,
    },
    /// Run an installation as the configuration says
    Serve {
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Make and list accounts
    Account {
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Print the configuration in effect, without its secrets, or say what is wrong with it
    CheckConfig {
        #[command(flatten)]
        overrides: Overrides,
    },
}

#[derive(Subcommand)]
enum AccountCommand {
    /// Make an account and print its credentials
    ///
    /// The first one gets the installation's SIP domain. A running server learns of the account at its first REST request.
    Create {
        #[command(flatten)]
        overrides: Overrides,
        /// What people call it
        #[arg(long)]
        name: String,
        /// Where its calls to phone numbers go: a gateway that takes SIP over UDP, such as sip:gateway.example.net:5060
        #[arg(long, value_name = "SIP URI")]
        trunk: Option<String>,
        /// Calling code of the country whose numbers need no international prefix: 1, 44, …
        #[arg(long)]
        country_code: Option<String>,
        /// Let nobody from outside ring its endpoints by their SIP URIs
        #[arg(long)]
        no_external_callers: bool,
    },
    /// List all accounts, without their secrets
    List {
        #[command(flatten)]
        overrides: Overrides,
    },
}

#[derive(Args)]
struct Overrides {
    /// The configuration, a TOML file
    #[arg(long, value_name = "FILE", env = "OFFHOOK_CONFIG")]
    config: Option<PathBuf>,
    /// Where the database and its key are kept [default: ./offhook-data]
    #[arg(long, value_name = "DIR", env = "OFFHOOK_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the REST interface; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Address for SIP, UDP and TCP; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    sip: Option<SocketAddr>,
}

impl Overrides {
    fn load(&self, presets: Vec<(&'static str, Value)>) -> anyhow::Result<Config> {
        let mut arguments = Vec::new();
        if let Some(directory) = &self.data_dir {
            let directory = directory
                .to_str()
                .context("--data-dir: the path has to be UTF-8")?;
            arguments.push((
                "store.url",
                format!("sqlite:{}/offhook.db", directory.trim_end_matches('/')).into(),
            ));
        }
        if let Some(address) = self.http {
            arguments.push(("http.listen", address.to_string().into()));
        }
        if let Some(address) = self.sip {
            let list = Value::Array(vec![address.to_string().into()]);
            arguments.push(("sip.udp", list.clone()));
            arguments.push(("sip.tcp", list));
        }
        // Names that are not UTF-8 are not ours; values that are not are refused where they are read.
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((
                name.into_string().ok()?,
                value.to_string_lossy().into_owned(),
            ))
        });
        let layers = Layers {
            presets,
            file: self.config.clone(),
            environment: environment.collect(),
            arguments,
        };
        Ok(layers.load()?)
    }

    /// What `dev` assumes where the configuration says nothing.
    fn dev_presets(&self) -> Vec<(&'static str, Value)> {
        let loopback = vec!["127.0.0.0/8".into(), "::1/128".into()];
        let mut presets = vec![
            ("egress.allow", Value::Array(loopback.clone())),
            ("abuse.exempt", Value::Array(loopback)),
        ];
        presets.extend(self.tls_presets());
        // Phones that reach us at this address can send their media there too.
        if let Some(address) = self.sip.filter(|address| !address.ip().is_unspecified()) {
            presets.push(("media.ip", address.ip().to_string().into()));
        }
        presets
    }
}

impl Overrides {
    /// TLS beside TCP, on the next port as RFC 3261 §18.2.1 has it, and WebSockets under TLS beside HTTP; on free ports where
    /// those are asked for.
    fn tls_presets(&self) -> [(&'static str, Value); 2] {
        let beside = |address: Option<SocketAddr>, usual: &str, distance: u16| {
            let address = match address {
                None => usual.to_owned(),
                Some(address) if address.port() == 0 => address.to_string(),
                Some(mut address) => {
                    address.set_port(address.port().checked_add(distance).unwrap_or(0));
                    address.to_string()
                }
            };
            Value::Array(vec![address.into()])
        };
        [
            ("sip.tls", beside(self.sip, "127.0.0.1:5061", 1)),
            ("sip.wss", beside(self.http, "127.0.0.1:8443", 363)),
        ]
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("offhook: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Dev { overrides, json } => {
            let config = overrides.load(overrides.dev_presets())?;
            let log = start_log(&config)?;
            let ended = runtime()?.block_on(dev(&config, *json));
            log.flush();
            ended
        }
        Command::Serve { overrides } => {
            let config = overrides.load(Vec::new())?;
            let log = start_log(&config)?;
            let ended = runtime()?.block_on(serve(&config));
            log.flush();
            ended
        }
        Command::Account {
            command:
                AccountCommand::Create {
                    overrides,
                    name,
                    trunk,
                    country_code,
                    no_external_callers,
                },
        } => {
            let new = NewAccount {
                trunk: trunk.clone(),
                country_code: country_code.clone(),
                allow_external_callers: !no_external_callers,
                ..NewAccount::named(name)
            };
            runtime()?.block_on(create_account(&overrides.load(Vec::new())?, new))
        }
        Command::Account {
            command: AccountCommand::List { overrides },
        } => runtime()?.block_on(list_accounts(&overrides.load(Vec::new())?)),
        Command::CheckConfig { overrides } => {
            let config = overrides.load(Vec::new())?;
            log_filter(&config)?;
            print(&config.masked())
        }
    }
}

async fn dev(config: &Config, json: bool) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    let data_dir = data::directory(config).display().to_string();
    let line = dev::prepare(&server.core, &server.addresses, data_dir).await?;
    if json {
        print(&format!("{}\n", serde_json::to_string(&line)?))?;
    } else {
        print(&dev::describe(&line, &server.addresses))?;
    }
    Ok(server.serve().await?)
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    let sip = &server.addresses.sip;
    tracing::info!(http = %server.addresses.api.base_url, udp = ?sip.udp, tcp = ?sip.tcp, tls = ?sip.tls, ws = ?sip.ws, wss = ?sip.wss, "ready");
    Ok(server.serve().await?)
}

async fn create_account(config: &Config, new: NewAccount) -> anyhow::Result<()> {
    let (data, running) = Data::open_beside(config).await?;
    let directory = account::directory(config, &data).await?;
    let account = directory.create_account(new).await?;
    let domain = directory.account_domain(&account);
    print(&account::describe(
        &account,
        domain.as_ref().map(|domain| domain.sip_domain.as_str()),
    ))?;
    data.store.close().await;
    if running {
        eprintln!(
            "A server is running on this database; it learns of the account at its first REST request."
        );
    }
    Ok(())
}

async fn list_accounts(config: &Config) -> anyhow::Result<()> {
    let (data, _) = Data::open_beside(config).await?;
    let directory = account::directory(config, &data).await?;
    let mut accounts = Vec::new();
    for account in directory.accounts(ALL).await?.items.into_iter().rev() {
        let domain = directory.account_domain(&account);
        let domain = domain.map_or_else(String::new, |domain| domain.sip_domain.clone());
        accounts.push((account, domain));
    }
    print(&account::list(&accounts))?;
    data.store.close().await;
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

fn log_filter(config: &Config) -> anyhow::Result<EnvFilter> {
    let filter = EnvFilter::try_new(&config.log)
        .with_context(|| format!("`log`: `{}` is no filter", config.log))?;
    // At `trace` this library writes whole frames, and with them digests.
    Ok(filter.add_directive("tungstenite=debug".parse()?))
}

/// Logs to standard error, panics of all threads and tasks included.
fn start_log(config: &Config) -> anyhow::Result<Log> {
    let log = Log::to(std::io::stderr())?;
    tracing_subscriber::fmt()
        .with_env_filter(log_filter(config)?)
        .with_writer(log.clone())
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or_default(), %backtrace, "panic: {panic}");
    }));
    Ok(log)
}

/// Writes to standard output; a reader that has gone is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Arguments, Command, Value};

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn dev_presets_follow_its_address() {
        let arguments =
            Arguments::parse_from(["offhook", "dev", "--sip", "192.0.2.7:5060", "--json"]);
        let Command::Dev {
            overrides,
            json: true,
        } = arguments.command
        else {
            panic!("not dev")
        };
        let presets = overrides.dev_presets();
        assert!(presets.contains(&("media.ip", "192.0.2.7".into())));
        let list = |address: &str| Value::Array(vec![address.into()]);
        assert!(presets.contains(&("sip.tls", list("192.0.2.7:5061"))));
        assert!(presets.contains(&("sip.wss", list("127.0.0.1:8443"))));
    }
}
