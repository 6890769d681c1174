//! An endpoint's registrations as an operator sees them.

use offhook_core::LiveBinding;
use serde_json::{Map, Value};

use super::{Object, Spelling};

/// Shows a binding.
pub(crate) fn object(live: &LiveBinding, spelling: Spelling) -> Map<String, Value> {
    let binding = &live.binding;
    let mut object = Object::new(spelling);
    object.put(("registration_id", "id"), live.id.clone());
    object.put(("contact", "contact"), binding.contact.clone());
    object.put(("transport", "transport"), binding.transport.name());
    object.put(
        ("source_address", "sourceAddress"),
        binding.remote.to_string(),
    );
    object.put(("user_agent", "userAgent"), binding.user_agent.clone());
    object.put(
        ("expires_at", "expiresAt"),
        spelling.time(binding.expires_at),
    );
    object.put(("logged_in", "loggedIn"), spelling.time(binding.logged_in));
    object.put(("path", "path"), binding.path.clone());
    object.put(("instance", "instance"), binding.instance.clone());
    object.put(("reachable", "reachable"), live.reachable);
    object.done()
}

#[cfg(test)]
mod tests {
    use offhook_core::Binding;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_binding_is_shown_in_both_spellings() {
        let time = |text: &str| text.parse().unwrap();
        let live = LiveBinding {
            id: "00112233445566aa".to_owned(),
            reachable: false,
            binding: Binding {
                endpoint: 1,
                key: "\"<urn:uuid:1>\"#1".to_owned(),
                contact: "sip:front@192.0.2.10;transport=tls".to_owned(),
                call_id: "call-1".to_owned(),
                cseq: 1,
                expires_at: time("2026-02-03T10:30:00Z"),
                logged_in: time("2026-02-03T09:30:00.5Z"),
                transport: store::Transport::Tls,
                local: "192.0.2.1:5061".parse().unwrap(),
                remote: "[2001:db8::1]:40312".parse().unwrap(),
                flow: 7,
                path: Some("<sip:edge.example.net;lr>".to_owned()),
                user_agent: "Softphone 5.2".to_owned(),
                q: 1000,
                instance: Some("<urn:uuid:1>".to_owned()),
                reg_id: None,
            },
        };
        assert_eq!(
            Value::Object(object(&live, Spelling::Camel)),
            json!({
                "id": "00112233445566aa",
                "contact": "sip:front@192.0.2.10;transport=tls",
                "transport": "tls",
                "sourceAddress": "[2001:db8::1]:40312",
                "userAgent": "Softphone 5.2",
                "expiresAt": "2026-02-03T10:30:00Z",
                "loggedIn": "2026-02-03T09:30:00Z",
                "path": "<sip:edge.example.net;lr>",
                "instance": "<urn:uuid:1>",
                "reachable": false,
            })
        );
        let snake = object(&live, Spelling::Snake);
        assert_eq!(snake["registration_id"], "00112233445566aa");
        assert_eq!(snake["expires_at"], "2026-02-03 10:30:00+00:00");
        assert_eq!(snake.len(), 10);
    }
}
