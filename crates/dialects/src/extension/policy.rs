//! Policies of registrations: what a face reads and shows of them.

use offhook_core::{Egress, HttpMethod, PolicyChange, PolicyView, RegistrationPolicy};
use serde_json::{Map, Value};

use super::{Name, Object, Spelling};
use crate::http::{BadField, Fields, may_be_asked};

const MIN_EXPIRES: Name = ("min_expires", "minExpires");
const DEFAULT_EXPIRES: Name = ("default_expires", "defaultExpires");
const MAX_EXPIRES: Name = ("max_expires", "maxExpires");
const MAX_BINDINGS: Name = ("max_bindings", "maxBindings");
const DIGEST_ALGORITHM: Name = ("digest_algorithm", "digestAlgorithm");
const BIND_NONCES: Name = ("bind_nonces", "bindNonces");
const REFUSED_USER_AGENTS: Name = ("refused_user_agents", "refusedUserAgents");
const PING: Name = ("ping", "ping");
const REGISTRATION_URL: Name = ("registration_url", "registrationUrl");
const REGISTRATION_METHOD: Name = ("registration_method", "registrationMethod");
const REGISTRATION_REFRESHED: Name = ("registration_refreshed", "registrationRefreshed");
const EFFECTIVE: Name = ("effective", "effective");

/// The face's name of a field of a policy, in core's spelling; none: it is no field of a policy.
pub(crate) fn field(spelling: Spelling, core: &str) -> Option<&'static str> {
    [
        MIN_EXPIRES,
        DEFAULT_EXPIRES,
        MAX_EXPIRES,
        MAX_BINDINGS,
        DIGEST_ALGORITHM,
        BIND_NONCES,
        REFUSED_USER_AGENTS,
        PING,
    ]
    .into_iter()
    .find(|name| name.0 == core)
    .map(|name| spelling.of(name))
}

/// Reads what is to be different. A value of `null` or an empty text leaves it to what is above.
pub(crate) fn change(
    fields: &Fields,
    spelling: Spelling,
    egress: &Egress,
) -> Result<PolicyChange, BadField> {
    let reader = Reader { fields, spelling };
    let url = reader.read(REGISTRATION_URL, |name| fields.text(name))?;
    if let Some(Some(url)) = &url
        && !may_be_asked(egress, url)
    {
        return Err(reader.bad(REGISTRATION_URL));
    }
    Ok(PolicyChange {
        min_expires: reader.number(MIN_EXPIRES)?,
        default_expires: reader.number(DEFAULT_EXPIRES)?,
        max_expires: reader.number(MAX_EXPIRES)?,
        max_bindings: reader.number(MAX_BINDINGS)?,
        digest_algorithm: reader.read(DIGEST_ALGORITHM, |name| fields.text(name))?,
        bind_nonces: reader.read(BIND_NONCES, |name| fields.flag(name))?,
        refused_user_agents: reader.read(REFUSED_USER_AGENTS, |name| fields.text(name))?,
        ping: reader.number(PING)?,
        registration_url: url,
        registration_method: reader.method()?,
        registration_refreshed: reader.read(REGISTRATION_REFRESHED, |name| fields.flag(name))?,
    })
}

struct Reader<'a> {
    fields: &'a Fields,
    spelling: Spelling,
}

impl Reader<'_> {
    /// `None`: not sent. `Some(None)`: sent as nothing.
    fn read<T>(
        &self,
        name: Name,
        value: impl FnOnce(&'static str) -> Result<Option<T>, BadField>,
    ) -> Result<Option<Option<T>>, BadField> {
        let name = self.spelling.of(name);
        match self.fields.raw_of(&[name]) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) if text.is_empty() => Ok(Some(None)),
            Some(_) => value(name).map(Some),
        }
    }

    fn number(&self, name: Name) -> Result<Option<Option<u32>>, BadField> {
        let read = self.read(name, |name| self.fields.integer(name))?;
        match read {
            Some(Some(number)) => match u32::try_from(number) {
                Ok(number) => Ok(Some(Some(number))),
                Err(_) => Err(self.bad(name)),
            },
            Some(None) => Ok(Some(None)),
            None => Ok(None),
        }
    }

    fn method(&self) -> Result<Option<Option<HttpMethod>>, BadField> {
        match self.read(REGISTRATION_METHOD, |name| self.fields.text(name))? {
            Some(Some(word)) if word.eq_ignore_ascii_case("GET") => Ok(Some(Some(HttpMethod::Get))),
            Some(Some(word)) if word.eq_ignore_ascii_case("POST") => {
                Ok(Some(Some(HttpMethod::Post)))
            }
            Some(Some(_)) => Err(self.bad(REGISTRATION_METHOD)),
            Some(None) => Ok(Some(None)),
            None => Ok(None),
        }
    }

    fn bad(&self, name: Name) -> BadField {
        BadField(self.spelling.of(name).to_owned())
    }
}

/// Shows a policy: what was set here, `null` where nothing was, and under `effective` what holds.
pub(crate) fn object(view: &PolicyView, spelling: Spelling) -> Map<String, Value> {
    let own = &view.own;
    let mut object = Object::new(spelling);
    object.put(MIN_EXPIRES, own.min_expires);
    object.put(DEFAULT_EXPIRES, own.default_expires);
    object.put(MAX_EXPIRES, own.max_expires);
    object.put(MAX_BINDINGS, own.max_bindings);
    object.put(DIGEST_ALGORITHM, own.digest_algorithm.clone());
    object.put(BIND_NONCES, own.bind_nonces);
    object.put(REFUSED_USER_AGENTS, own.refused_user_agents.clone());
    object.put(PING, own.ping);
    object.put(REGISTRATION_URL, own.registration_url.clone());
    let method = own.registration_method.map(|method| match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
    });
    object.put(REGISTRATION_METHOD, method);
    object.put(REGISTRATION_REFRESHED, own.registration_refreshed);
    object.put(EFFECTIVE, effective(&view.effective, spelling));
    object.done()
}

fn effective(policy: &RegistrationPolicy, spelling: Spelling) -> Value {
    let mut object = Object::new(spelling);
    object.put(MIN_EXPIRES, policy.min_expires);
    object.put(DEFAULT_EXPIRES, policy.default_expires);
    object.put(MAX_EXPIRES, policy.max_expires);
    object.put(MAX_BINDINGS, policy.max_bindings);
    object.put(DIGEST_ALGORITHM, policy.algorithm.token());
    object.put(BIND_NONCES, policy.bind_nonces);
    let refused = policy.refused_user_agents.as_deref().map(str::to_owned);
    object.put(REFUSED_USER_AGENTS, refused);
    object.put(PING, policy.ping);
    Value::Object(object.done())
}
