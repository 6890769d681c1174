//! What a message URL is told: plivo-rest.md §14.4, which Vobiz follows.

use offhook_core::{AccountFacts, MessageFacts};

use crate::voice::parameter::{Parameters, put};

/// Spells the parameters of a message, sorted by name bytewise. `Type` knows one word for all that is written.
/// Undocumented; chosen: `MessageState` says whether a phone took it, `ContentType` what it is when it is no plain text.
pub(crate) fn parameters(account: &AccountFacts, message: &MessageFacts) -> Parameters {
    let mut parameters = Parameters::new();
    let to = &mut parameters;
    put(to, "From", &message.from);
    put(to, "To", &message.to);
    put(to, "Type", "sms");
    put(to, "Text", &message.text);
    put(to, "MessageUUID", message.uuid);
    put(to, "ParentAuthID", &account.main_auth_id);
    let state = if message.delivered {
        "delivered"
    } else {
        "undelivered"
    };
    put(to, "MessageState", state);
    let kind = message.content_type.split(';').next().unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("text/plain") {
        put(to, "ContentType", &message.content_type);
    }
    parameters.sort();
    parameters
}
