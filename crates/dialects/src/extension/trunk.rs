//! Trunks as JSON: what a request says, and what an answer shows. Passwords are written, never shown.

use offhook_core::{Core, Health, Registration, Route, Secret, Transport, Trunk, TrunkChange};
use serde_json::{Map, Value, json};

use crate::http::{BadField, Fields};

/// Reads what a request says about a trunk; absent means unchanged, `null` or empty takes away.
pub(crate) fn change(fields: &Fields) -> Result<TrunkChange, BadField> {
    let secret = |name| -> Result<_, BadField> {
        Ok(optional(fields, name)?.map(|text| text.map(Secret::new)))
    };
    let register = match fields.text("type")?.as_deref() {
        None => None,
        Some("peer") => Some(false),
        Some("registration") => Some(true),
        Some(_) => return Err(bad("type")),
    };
    let transport = match optional(fields, "transport")? {
        None => None,
        Some(None) => Some(None),
        Some(Some(name)) => Some(Some(
            transport(&name.to_ascii_lowercase()).ok_or_else(|| bad("transport"))?,
        )),
    };
    let plus = match fields.text("number_format")?.as_deref() {
        None => None,
        Some("plus") => Some(true),
        Some("plain") => Some(false),
        Some(_) => return Err(bad("number_format")),
    };
    Ok(TrunkChange {
        name: fields.text("name")?,
        register,
        hosts: list(fields, "hosts")?,
        transport,
        username: optional(fields, "username")?,
        password: secret("password")?,
        inbound_username: optional(fields, "inbound_username")?,
        inbound_password: secret("inbound_password")?,
        inbound_networks: list(fields, "inbound_networks")?,
        routes: routes(fields)?,
        shown_prefixes: list(fields, "caller_id_prefixes")?,
        default_caller_id: optional(fields, "caller_id")?,
        plus,
        trusted: fields.flag("trusted")?,
        from_domain: optional(fields, "from_domain")?,
        max_calls: small(fields, "max_calls")?,
        options_interval: small(fields, "options_interval")?,
        expires: small(fields, "expires")?,
        enabled: fields.flag("enabled")?,
    })
}

/// The trunk as it is shown, with what is known of it at this moment.
pub(crate) fn object(core: &Core, trunk: &Trunk) -> Map<String, Value> {
    let state = core.trunks.of(trunk.id);
    let user = |login: &Option<offhook_core::Login>| login.as_ref().map(|login| login.user.clone());
    let routes: Vec<Value> = trunk
        .routes
        .iter()
        .map(|route| {
            json!({
                "prefix": route.prefix,
                "strip": route.strip,
                "prepend": route.prepend,
                "priority": route.priority,
                "weight": route.weight,
            })
        })
        .collect();
    let registration = match &state.registration {
        Registration::Unwanted if trunk.register && trunk.enabled => json!({ "state": "pending" }),
        Registration::Unwanted => Value::Null,
        Registration::Pending => json!({ "state": "pending" }),
        Registration::Registered { until } => {
            json!({ "state": "registered", "expires_at": time(*until) })
        }
        Registration::Failed { status } => json!({ "state": "failed", "sip_status": status }),
    };
    let object = json!({
        "trunk_id": trunk.public_id,
        "name": trunk.name,
        "type": if trunk.register { "registration" } else { "peer" },
        "hosts": trunk.hosts,
        "transport": trunk.transport.map(transport_name),
        "username": user(&trunk.login),
        "inbound_username": user(&trunk.inbound_login),
        "inbound_networks": trunk.inbound_networks,
        "realm": core.directory.realm_of_trunk(trunk),
        "prefixes": routes,
        "caller_id": trunk.default_caller_id,
        "caller_id_prefixes": trunk.shown_prefixes,
        "number_format": if trunk.plus { "plus" } else { "plain" },
        "trusted": trunk.trusted,
        "from_domain": trunk.from_domain,
        "max_calls": trunk.max_calls,
        "options_interval": trunk.options_interval,
        "expires": trunk.expires,
        "enabled": trunk.enabled,
        "status": match state.health {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        },
        "status_since": state.since.map(time),
        "last_error": state.last_error,
        "registration": registration,
        "calls": state.calls,
        "created_at": time(trunk.created),
        "updated_at": time(trunk.updated),
    });
    match object {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// A list, a single value, or a text with commas.
fn list(fields: &Fields, name: &'static str) -> Result<Option<Vec<String>>, BadField> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(bad(name)),
    };
    match fields.raw_of(&[name]) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Vec::new())),
        Some(Value::Array(values)) => values.iter().map(text).collect::<Result<_, _>>().map(Some),
        Some(Value::String(text)) => Ok(Some(
            text.split(',').map(|part| part.trim().to_owned()).collect(),
        )),
        Some(one) => Ok(Some(vec![text(one)?])),
    }
}

fn routes(fields: &Fields) -> Result<Option<Vec<Route>>, BadField> {
    let name = "prefixes";
    match fields.raw_of(&[name]) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Vec::new())),
        Some(Value::Array(values)) => {
            let routes = values
                .iter()
                .map(|value| route(value).ok_or_else(|| bad(name)));
            routes.collect::<Result<_, _>>().map(Some)
        }
        Some(Value::String(text)) => {
            let prefixes = text.split(',').map(|part| plain_route(part.trim()));
            Ok(Some(prefixes.collect()))
        }
        Some(one) => Ok(Some(vec![route(one).ok_or_else(|| bad(name))?])),
    }
}

/// An object, or the prefix alone.
fn route(value: &Value) -> Option<Route> {
    let members = match value {
        Value::String(prefix) => return Some(plain_route(prefix)),
        Value::Number(prefix) => return Some(plain_route(&prefix.to_string())),
        Value::Object(members) => members,
        _ => return None,
    };
    let text = |name: &str| match members.get(name) {
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) => None,
    };
    let number = |name: &str, default: u16| match members.get(name) {
        None | Some(Value::Null) => Some(default),
        Some(Value::Number(number)) => number.as_u64()?.try_into().ok(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    Some(Route {
        prefix: text("prefix")?,
        strip: number("strip", 0)?.try_into().ok()?,
        prepend: text("prepend")?,
        priority: number("priority", 1)?,
        weight: number("weight", 1)?,
    })
}

fn plain_route(prefix: &str) -> Route {
    Route {
        prefix: prefix.to_owned(),
        strip: 0,
        prepend: String::new(),
        priority: 1,
        weight: 1,
    }
}

/// A text that may be taken away: by `null` or an empty one.
pub(crate) fn optional(
    fields: &Fields,
    name: &'static str,
) -> Result<Option<Option<String>>, BadField> {
    match fields.raw_of(&[name]) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(_) => Ok(Some(fields.text(name)?.filter(|text| !text.is_empty()))),
    }
}

fn small(fields: &Fields, name: &'static str) -> Result<Option<u32>, BadField> {
    let number = fields.integer(name)?;
    number
        .map(|number| u32::try_from(number).map_err(|_| bad(name)))
        .transpose()
}

fn transport(name: &str) -> Option<Transport> {
    match name {
        "udp" => Some(Transport::Udp),
        "tcp" => Some(Transport::Tcp),
        "tls" => Some(Transport::Tls),
        _ => None,
    }
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    }
}

fn time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn bad(name: &str) -> BadField {
    BadField(name.to_owned())
}
