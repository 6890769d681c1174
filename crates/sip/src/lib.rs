//! SIP as RFC 3261 layers it: messages, transactions, dialogs, digest. Pure: no socket, no clock, no task.
