//! The end of legs and of the call: records, what waits for them, and `Over`.

use std::time::Duration;

use super::{Context, Deferred, Timer};
use crate::about::{DialAction, DialLeg, Fetch, Notice, Occasion};
use crate::call::Output;
use crate::cdr::Cdr;
use crate::leg::{Leg, LegId, Media, Wire};

impl Context {
    /// Writes the records of legs whose media is closed, sends what waited for them, and notices the end.
    pub(crate) fn settle(&mut self) {
        self.attempts
            .retain(|_, attempt| attempt.wire != Wire::Gone || attempt.media != Media::Absent);
        if !self
            .attempts
            .values()
            .any(|attempt| attempt.media == Media::Closing)
        {
            self.clear_timer(Timer::Closed);
        }
        // Callees first: their hangup callbacks come before that of the call.
        let ended: Vec<LegId> = self
            .legs
            .iter()
            .rev()
            .filter(|(_, leg)| leg.end.is_some())
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            let open = self.attempts.values().any(|attempt| attempt.leg == id);
            let waits = id == LegId::A && self.served() == LegId::A && self.legs.len() > 1;
            if open || waits {
                continue;
            }
            if let Some(leg) = self.legs.remove(&id) {
                self.write_record(id, leg);
            }
        }
        if !self.legs.values().any(|leg| leg.end.is_some()) {
            self.send_deferred();
        }
        let waiting = self.held.as_ref().is_some_and(|held| !held.is_empty());
        if self.legs.is_empty() && self.attempts.is_empty() && !waiting && !self.over {
            self.over = true;
            self.timers.clear();
            self.outputs.push_back(Output::Over);
        }
    }

    fn write_record(&mut self, id: LegId, leg: Leg) {
        let Some((end, at)) = leg.end else { return };
        let duration = leg.answered.map_or(Duration::ZERO, |answered| {
            at.saturating_duration_since(answered)
        });
        let ended = self
            .began
            .wall
            .checked_add(at.saturating_duration_since(self.began.instant))
            .unwrap_or(self.now.wall);
        let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        let cdr = Cdr {
            ended,
            duration,
            billed_seconds: seconds.div_ceil(60) * 60,
            cause: end.cause,
            source: end.source,
            status: end.cause.final_status(leg.answered.is_some()),
            sip_status: leg.sip_status,
            media: leg.stats,
            leg: leg.record.clone(),
        };
        self.outputs.push_back(Output::Cdr(cdr.clone()));
        if id == LegId::A {
            if let Some(link) = leg.record.hangup {
                let about = self.about_caller(cdr.status);
                let occasion = Occasion::Hangup(Box::new(cdr));
                self.outputs.push_back(Output::Notify(Notice {
                    link,
                    occasion,
                    about,
                }));
            }
        } else if let Some(link) = leg.callback {
            let about = self.about(self.status());
            let (action, position) = (DialAction::Hangup, leg.position);
            let occasion = Occasion::DialLeg(Box::new(DialLeg {
                action,
                b: leg.record,
                position,
                cdr: Some(cdr),
            }));
            self.outputs.push_back(Output::Notify(Notice {
                link,
                occasion,
                about,
            }));
        }
    }

    fn send_deferred(&mut self) {
        let gone = !self.legs.contains_key(&self.served_leg());
        for Deferred {
            id,
            link,
            occasion,
            wants_document,
        } in std::mem::take(&mut self.deferred)
        {
            // After the caller has left only the outcome of a Dial is still told (voice-xml.md §1.5).
            if gone && !matches!(occasion, Occasion::DialEnded(_)) {
                continue;
            }
            let about = self.about(self.status());
            let wants_document = wants_document && !gone;
            self.outputs.push_back(Output::Fetch(Fetch {
                id,
                link,
                occasion,
                about,
                wants_document,
            }));
        }
    }
}
