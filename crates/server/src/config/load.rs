//! Reads the layers of the configuration: defaults, what a subcommand presets, the file, the environment, the command
//! line; each replaces keys of the ones before it. An unknown key is refused with the nearest right name.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, DEFAULTS};

/// The prefix of environment variables that are keys.
const PREFIX: &str = "OFFHOOK_";

/// Variables with the prefix that are not keys: options of the command line, and the program's place in test scripts.
const OTHER_VARIABLES: [&str; 3] = ["OFFHOOK_CONFIG", "OFFHOOK_DATA_DIR", "OFFHOOK_BIN"];

/// Kubernetes sets these for a service named `offhook`; nobody wrote them by mistake.
const FOREIGN_PREFIXES: [&str; 2] = ["OFFHOOK_PORT", "OFFHOOK_SERVICE_"];

/// Why a configuration was refused; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The place and cause.
        source: Box<toml::de::Error>,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {place}{hint}")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The file, or the environment.
        place: String,
        /// The nearest right name, as a sentence part.
        hint: String,
    },
    /// A key with a value that cannot be used.
    #[error("`{key}`: {why}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with its value.
        why: String,
    },
}

/// The layers above the defaults, lowest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// What a subcommand presets: keys with values.
    pub presets: Vec<(&'static str, Value)>,
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// The environment: variables whose name begins with the prefix count.
    pub environment: Vec<(String, String)>,
    /// What the command line says: keys with values.
    pub arguments: Vec<(&'static str, Value)>,
}

impl Layers {
    /// Lays the layers over each other and checks the result.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let defaults = defaults()?;
        let mut merged = defaults.clone();
        for (key, value) in &self.presets {
            set(&mut merged, key, value.clone());
        }
        if let Some(path) = &self.file {
            merge_file(&mut merged, &defaults, path)?;
        }
        for (name, value) in &self.environment {
            merge_variable(&mut merged, &defaults, name, value)?;
        }
        for (key, value) in &self.arguments {
            set(&mut merged, key, value.clone());
        }
        from_table(merged)?.validate()
    }
}

fn defaults() -> Result<Table, ConfigError> {
    DEFAULTS.parse().map_err(|source| ConfigError::Syntax {
        path: "the defaults".into(),
        source: Box::new(source),
    })
}

/// Reads section by section, so that an error can name its key.
fn from_table(table: Table) -> Result<Config, ConfigError> {
    let wrong = |key: &str, error: toml::de::Error| ConfigError::Value {
        key: key.into(),
        why: first_line(&error),
    };
    // One key at a time over the defaults: the first key that fails is the one to name.
    let mut trial = defaults()?;
    for (key, value) in leaves(&table) {
        set(&mut trial, &key, value.clone());
        trial
            .clone()
            .try_into::<Config>()
            .map_err(|error| wrong(&key, error))?;
    }
    table
        .try_into()
        .map_err(|error| wrong("the configuration", error))
}

fn first_line(error: &toml::de::Error) -> String {
    error
        .message()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn merge_file(merged: &mut Table, defaults: &Table, path: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.into(),
        source,
    })?;
    let table: Table = text.parse().map_err(|source| ConfigError::Syntax {
        path: path.into(),
        source: Box::new(source),
    })?;
    let sections = table
        .iter()
        .filter(|(_, value)| value.is_table())
        .map(|(name, _)| name);
    if let Some(name) = sections
        .into_iter()
        .find(|name| !defaults.get(*name).is_some_and(Value::is_table))
    {
        let known = defaults
            .iter()
            .filter(|(_, value)| value.is_table())
            .map(|(name, _)| name.clone());
        let nearest = known.max_by(|a, b| likeness(a, name).total_cmp(&likeness(b, name)));
        return Err(unknown(
            name,
            &path.display().to_string(),
            &nearest.filter(|near| likeness(near, name) > 0.5),
            str::to_owned,
        ));
    }
    for (key, value) in leaves(&table) {
        if lookup(defaults, &key).is_none() {
            return Err(unknown(
                &key,
                &path.display().to_string(),
                &nearest(defaults, &key),
                str::to_owned,
            ));
        }
        set(merged, &key, value.clone());
    }
    Ok(())
}

fn merge_variable(
    merged: &mut Table,
    defaults: &Table,
    name: &str,
    text: &str,
) -> Result<(), ConfigError> {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return Ok(());
    };
    if OTHER_VARIABLES.contains(&name)
        || FOREIGN_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
    {
        return Ok(());
    }
    let key = rest.to_ascii_lowercase().replace("__", ".");
    let Some(default) = lookup(defaults, &key) else {
        return Err(unknown(
            name,
            "the environment",
            &nearest(defaults, &key),
            variable,
        ));
    };
    let wrong = |why: &str| ConfigError::Value {
        key: name.into(),
        why: format!("{why}, not `{text}`"),
    };
    let value = match default {
        Value::Boolean(_) => {
            Value::Boolean(text.parse().map_err(|_| wrong("it is `true` or `false`"))?)
        }
        Value::Integer(_) => {
            Value::Integer(text.parse().map_err(|_| wrong("it is a whole number"))?)
        }
        Value::Array(_) => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.into()))
                .collect(),
        ),
        _ => Value::String(text.into()),
    };
    set(merged, &key, value);
    Ok(())
}

/// The environment's name of a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// All values that are not tables, with their dotted keys. An empty or misplaced table counts as a leaf of its own name.
fn leaves(table: &Table) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(section) => {
                found.extend(
                    section
                        .iter()
                        .map(|(key, value)| (format!("{name}.{key}"), value)),
                );
            }
            _ => found.push((name.clone(), value)),
        }
    }
    found
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let value = match key.split_once('.') {
        Some((section, key)) => table.get(section)?.as_table()?.get(key)?,
        None => table.get(key)?,
    };
    (!value.is_table()).then_some(value)
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((section, key)) => {
            let section = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Some(section) = section.as_table_mut() {
                section.insert(key.into(), value);
            }
        }
        None => {
            table.insert(key.into(), value);
        }
    }
}

fn nearest(defaults: &Table, key: &str) -> Option<String> {
    let bare = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    // A right name in the wrong section is nearer than its letters say.
    let near = |known: &str| likeness(known, key).max(0.9 * likeness(&bare(known), &bare(key)));
    leaves(defaults)
        .into_iter()
        .map(|(known, _)| (near(&known), known))
        .filter(|(likeness, _)| *likeness > 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

fn likeness(one: &str, other: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(one, other)
}

fn unknown(
    key: &str,
    place: &str,
    nearest: &Option<String>,
    spell: impl Fn(&str) -> String,
) -> ConfigError {
    let hint = match nearest {
        Some(nearest) => format!("; did you mean `{}`?", spell(nearest)),
        None => "; docs/configuration.md lists all keys".into(),
    };
    ConfigError::UnknownKey {
        key: key.into(),
        place: place.into(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Layers, Value};

    fn with_environment(variables: &[(&str, &str)]) -> Result<Config, String> {
        let environment = variables
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Layers {
            environment,
            ..Layers::default()
        }
        .load()
        .map_err(|error| error.to_string())
    }

    fn with_file(text: &str) -> Result<Config, String> {
        let path = std::env::temp_dir().join(format!(
            "offhook-config-{}-{}.toml",
            std::process::id(),
            text.len()
        ));
        std::fs::write(&path, text).unwrap();
        let loaded = Layers {
            file: Some(path.clone()),
            ..Layers::default()
        }
        .load();
        std::fs::remove_file(&path).unwrap();
        loaded.map_err(|error| {
            error
                .to_string()
                .replace(&path.display().to_string(), "FILE")
        })
    }

    #[test]
    fn the_defaults_are_a_configuration() {
        let config = Layers::default().load().unwrap();
        assert_eq!(config.own_domain(), "offhook.localhost");
        assert_eq!(
            config.alias_domains(),
            ["phone.plivo.com", "sip.vobiz.ai", "registrar.vobiz.ai"]
        );
    }

    #[test]
    fn the_environment_reaches_every_kind_of_value() {
        let config = with_environment(&[
            ("OFFHOOK_HTTP__LISTEN", "127.0.0.1:0"),
            ("OFFHOOK_SIP__UDP", "127.0.0.1:5070, [::1]:5070"),
            ("OFFHOOK_SIP__TCP", ""),
            ("OFFHOOK_SIP__DOMAINS", "Voice.Example,alias.example"),
            ("OFFHOOK_MEDIA__PORTS", "31000-31999"),
            ("OFFHOOK_EGRESS__ALLOW", "10.0.0.0/8"),
            ("OFFHOOK_PLIVO__PASSWORD_MD5", "false"),
            ("OFFHOOK_LOG", "debug"),
            ("OFFHOOK_DRAIN_SECONDS", "3"),
            ("OFFHOOK_BIN", "/somewhere"),
            ("OFFHOOK_PORT_5060_UDP", "set by an orchestrator"),
            ("PATH", "not ours"),
        ])
        .unwrap();
        assert_eq!(config.http.listen.port(), 0);
        assert_eq!(
            config.sip.udp,
            [
                "127.0.0.1:5070".parse().unwrap(),
                "[::1]:5070".parse().unwrap()
            ]
        );
        assert!(config.sip.tcp.is_empty());
        assert_eq!(config.own_domain(), "voice.example");
        assert_eq!(config.alias_domains()[0], "alias.example");
        assert_eq!(config.media.ports.to_string(), "31000-31999");
        assert_eq!(config.egress.allow, ["10.0.0.0/8".parse().unwrap()]);
        assert!(!config.plivo.password_md5);
        assert_eq!((config.log.as_str(), config.drain_seconds), ("debug", 3));
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest_name() {
        assert_eq!(
            with_environment(&[("OFFHOOK_HTTP__LISTN", "127.0.0.1:0")]).unwrap_err(),
            "unknown key `OFFHOOK_HTTP__LISTN` in the environment; did you mean `OFFHOOK_HTTP__LISTEN`?"
        );
    }

    #[test]
    fn an_unknown_key_of_the_file_is_refused_with_the_nearest_name() {
        assert_eq!(
            with_file("[sip]\ndomain = [\"a.example\"]\n").unwrap_err(),
            "unknown key `sip.domain` in FILE; did you mean `sip.domains`?"
        );
        assert_eq!(
            with_file("[http]\nports = \"1-2\"\n").unwrap_err(),
            "unknown key `http.ports` in FILE; did you mean `media.ports`?"
        );
        assert_eq!(
            with_file("[htttp]\n").unwrap_err(),
            "unknown key `htttp` in FILE; did you mean `http`?"
        );
        assert_eq!(
            with_file("[sip]\nzzzzzzzzzz = 1\n").unwrap_err(),
            "unknown key `sip.zzzzzzzzzz` in FILE; docs/configuration.md lists all keys"
        );
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        assert_eq!(
            with_environment(&[("OFFHOOK_DRAIN_SECONDS", "soon")]).unwrap_err(),
            "`OFFHOOK_DRAIN_SECONDS`: it is a whole number, not `soon`"
        );
        assert!(
            with_file("[http]\nlisten = \"nowhere\"\n")
                .unwrap_err()
                .starts_with("`http.listen`: ")
        );
        assert!(
            with_file("[media]\nip = \"0.0.0.0\"\n")
                .unwrap_err()
                .starts_with("`media.ip`: ")
        );
        for (file, key) in [
            ("[sip]\ndomains = [\"a b\"]\n", "sip.domains"),
            ("[sip]\ndomains = [\"a..b\"]\n", "sip.domains"),
            ("[sip]\naliases = [\"a\\\"b\"]\n", "sip.domains"),
            ("[sip]\nnonce_seconds = 0\n", "sip.nonce_seconds"),
            ("[limits]\nfetch_seconds = 0\n", "limits.fetch_seconds"),
            ("[limits]\ncalls = 0\n", "limits.calls"),
            ("[trunks]\ndefault = \"gateway\"\n", "trunks.default"),
            (
                "[trunks]\ndns_server = \"192.0.2.1\"\n",
                "trunks.dns_server",
            ),
            ("[trunks]\ncountry_code = \"+44\"\n", "trunks.country_code"),
            ("[http]\npublic_url = \"httpx\"\n", "http.public_url"),
        ] {
            let refusal = with_file(file).unwrap_err();
            assert!(refusal.starts_with(&format!("`{key}`: ")), "{refusal}");
        }
        assert!(
            with_file("[store]\nkey = \"short\"\n")
                .unwrap_err()
                .starts_with("`store.key`: ")
        );
    }

    #[test]
    fn later_layers_win() {
        let mut layers = Layers {
            presets: vec![("log", Value::from("warn"))],
            ..Layers::default()
        };
        assert_eq!(layers.load().unwrap().log, "warn");
        layers
            .environment
            .push(("OFFHOOK_LOG".into(), "debug".into()));
        assert_eq!(layers.load().unwrap().log, "debug");
        layers.arguments.push(("log", Value::from("trace")));
        assert_eq!(layers.load().unwrap().log, "trace");
    }

    #[test]
    fn the_printed_configuration_hides_the_key() {
        let key = "ab".repeat(32);
        let config = with_environment(&[("OFFHOOK_STORE__KEY", &key)]).unwrap();
        assert!(!config.masked().contains(&key));
        assert!(config.masked().contains("key = \"***\""));
    }
}
