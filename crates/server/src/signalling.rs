//! The thread that owns a `sip::Stack`: reads its own UDP sockets in batches, asks the core synchronously, writes in
//! batches. What belongs to another shard is handed to that one's inbox.

use std::io;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use offhook_core::{Answer, Clock, Core, Decision, Gate, Load, Offence, Short, Shortcut};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use sip::{Command, Event, Flow, FlowId, Input, Method, Output, Stack, Transport};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::net::batch::Flushed;
use crate::net::connections::Connections;
use crate::net::counters::{Counters, add};
use crate::net::streams::Inboxes;
use crate::net::udp::Datagrams;

/// Inputs that may wait for a shard. When it is full: a stream's reader waits, a command fails at its sender, a message
/// handed over from another shard is dropped and sent again by its sender.
pub const INBOX: usize = 8_192;

/// Inputs of the inbox before the sockets get their turn.
const INPUTS: usize = 256;

/// Without anything to do. A sleep has to end some time.
const IDLE: Duration = Duration::from_secs(3600);

/// What a signalling thread is made of.
pub struct Setup {
    /// Its stack's configuration; the shard's number is in it.
    pub stack: sip::Config,
    /// Its sockets, one for each listening address.
    pub sockets: Vec<UdpSocket>,
    /// Its inbox.
    pub inbox: mpsc::Receiver<Input>,
    /// All inboxes.
    pub inboxes: Arc<Inboxes>,
    /// The stream connections, to write to them.
    pub connections: Arc<Connections>,
    /// What decides.
    pub core: Arc<Core>,
    /// What tells the time.
    pub clock: Clock,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The end.
    pub stop: CancellationToken,
}

/// Starts the thread; `main` is the runtime on which the core's tasks run, all but those of calls. The thread cancels
/// `stop` when it fails.
pub fn spawn(setup: Setup, main: Handle) -> io::Result<thread::JoinHandle<()>> {
    let name = format!("sip-{}", setup.stack.shard);
    thread::Builder::new().name(name).spawn(move || {
        let stop = setup.stop.clone();
        if let Err(error) = live(setup, main) {
            tracing::error!(%error, "a signalling thread cannot go on");
        }
        stop.cancel();
    })
}

fn live(setup: Setup, main: Handle) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    setup
        .core
        .calls
        .run_on(setup.stack.shard, runtime.handle().clone());
    runtime.block_on(async {
        let sockets = setup
            .sockets
            .into_iter()
            .map(Datagrams::new)
            .collect::<io::Result<Vec<_>>>()?;
        let mut shard = Shard {
            number: setup.stack.shard,
            shortcut: Shortcut::new(
                Arc::clone(&setup.core.registrar),
                setup.stack.shard,
                &setup.stack.product,
                &setup.clock.now(),
                rand::rng().random(),
            ),
            stack: Stack::new(setup.stack, ChaCha12Rng::from_seed(rand::rng().random())),
            sockets,
            inboxes: setup.inboxes,
            connections: setup.connections,
            core: setup.core,
            clock: setup.clock,
            counters: setup.counters,
            main,
            gate: Gate::OPEN,
            lost: Vec::new(),
        };
        shard.turn_until(setup.inbox, setup.stop).await;
        Ok(())
    })
}

struct Shard {
    number: u8,
    shortcut: Shortcut,
    stack: Stack,
    sockets: Vec<Datagrams>,
    inboxes: Arc<Inboxes>,
    connections: Arc<Connections>,
    core: Arc<Core>,
    clock: Clock,
    counters: Arc<Counters>,
    main: Handle,
    /// What the kernel drops.
    gate: Gate,
    /// Flows that something was to be sent on and that are gone.
    lost: Vec<FlowId>,
}

impl Shard {
    async fn turn_until(&mut self, mut inbox: mpsc::Receiver<Input>, stop: CancellationToken) {
        let sleep = tokio::time::sleep(IDLE);
        tokio::pin!(sleep);
        let mut received: Vec<(Flow, Bytes)> = Vec::new();
        let mut inputs: Vec<Input> = Vec::with_capacity(INPUTS);
        while !stop.is_cancelled() {
            let now = self.clock.now().instant;
            let due = self.stack.poll_timeout().unwrap_or(now + IDLE);
            let due = due.min(now + self.shortcut.next_look().unwrap_or(IDLE));
            if due > now {
                if sleep.deadline() != due.into() {
                    sleep.as_mut().reset(due.into());
                }
                tokio::select! {
                    () = readable(&self.sockets) => {}
                    count = inbox.recv_many(&mut inputs, INPUTS) => if count == 0 { return },
                    () = self.core.registrar.committed(self.number) => {}
                    () = self.core.calls.wanting(self.number) => {}
                    () = &mut sleep => {}
                    () = stop.cancelled() => return,
                }
            } else {
                // Timers are due already; the others must not starve behind them.
                tokio::task::yield_now().await;
            }
            self.turn(&mut inbox, &mut received, &mut inputs);
            // The calls of this shard run here too.
            self.core.calls.turn(self.number).await;
        }
    }

    /// One round: every socket, the inbox, the timers, then what they want to send.
    fn turn(
        &mut self,
        inbox: &mut mpsc::Receiver<Input>,
        received: &mut Vec<(Flow, Bytes)>,
        inputs: &mut Vec<Input>,
    ) {
        let mut fullest = 0;
        for index in 0..self.sockets.len() {
            fullest = fullest.max(self.receive(index, received));
            for (flow, bytes) in received.drain(..) {
                self.handle(Input::Received { flow, bytes });
            }
        }
        while inputs.len() < INPUTS
            && let Ok(input) = inbox.try_recv()
        {
            inputs.push(input);
        }
        for input in inputs.drain(..) {
            if !self.is_shed(&input) {
                self.handle(input);
            }
        }
        let load = Load {
            socket: fullest,
            inbox: u16::try_from(inbox.len() * 1000 / INBOX).unwrap_or(u16::MAX),
            ..Load::default()
        };
        self.shortcut.look(&self.clock.now(), load);
        let gate = self.shortcut.gate();
        if gate != self.gate {
            self.gate = gate;
            for socket in &self.sockets {
                if let Err(error) = socket.gate(gate) {
                    tracing::debug!(%error, "the kernel does not drop what is too much");
                }
            }
        }
        self.core.registrar.flush();
        self.answer();
        if self
            .stack
            .poll_timeout()
            .is_some_and(|due| due <= self.clock.now().instant)
        {
            self.handle(Input::Tick);
        }
        for socket in &mut self.sockets {
            let flushed = socket.flush();
            add(&self.counters.sent, flushed.sent);
            add(&self.counters.dropped, flushed.dropped);
        }
    }

    /// Refuses what came over a stream or from another shard, if there is too much to do.
    fn is_shed(&mut self, input: &Input) -> bool {
        let Input::Received { flow, bytes } = input else {
            return false;
        };
        let mut refusal = Vec::new();
        let now = self.clock.now();
        let shed = self.shortcut.shed(&now, *flow, bytes, &mut refusal);
        if !refusal.is_empty() {
            self.send(*flow, refusal.into());
        }
        add(&self.counters.shed, usize::from(shed.is_some()));
        shed.is_some()
    }

    /// Receives one batch of a socket, and says how full that is after it, in thousandths. What the short way does not take
    /// comes into `received`; the next batch is the next turn's, so that the answers to this one leave first.
    fn receive(&mut self, index: usize, received: &mut Vec<(Flow, Bytes)>) -> u16 {
        let Some(socket) = self.sockets.get_mut(index) else {
            return 0;
        };
        let now = self.clock.now();
        let (shortcut, counters) = (&mut self.shortcut, &self.counters);
        let short = |flow: Flow, bytes: &[u8], out: &mut Vec<u8>| {
            let start = out.len();
            let taken = catch_unwind(AssertUnwindSafe(|| shortcut.take(&now, flow, bytes, out)));
            taken.map_or_else(
                |_| {
                    // It costs this datagram and no more; the hook has logged it.
                    add(&counters.panics, 1);
                    out.truncate(start);
                    true
                },
                |short| {
                    let shed = matches!(short, Short::Refused | Short::Dropped);
                    add(&counters.shed, usize::from(shed));
                    short != Short::Not
                },
            )
        };
        let mut flushed = Flushed::default();
        let count = match socket.receive(&mut flushed, short, |flow, bytes| {
            received.push((flow, bytes));
        }) {
            Ok(count) => count,
            Err(error) => {
                tracing::warn!(%error, "cannot receive from a UDP socket");
                0
            }
        };
        add(&self.counters.received, count);
        add(&self.counters.sent, flushed.sent);
        add(&self.counters.dropped, flushed.dropped);
        socket.fullness(count)
    }

    /// Sends the answers that waited for a commit which is through.
    fn answer(&mut self) {
        let core = Arc::clone(&self.core);
        core.registrar
            .answers(self.number, |flow, answer| match answer {
                Answer::Response(response) => {
                    let response = *response;
                    self.handle(Input::Command(Command::Reply { flow, response }));
                }
                Answer::Written(bytes) => self.send(flow, bytes.into()),
            });
    }

    /// One input and all that follows from it. A panic costs this input and no more; the hook has logged it.
    fn handle(&mut self, input: Input) {
        let handled = catch_unwind(AssertUnwindSafe(|| {
            self.stack.handle(self.clock.now().instant, input);
            self.drain();
            self.report_lost();
        }));
        if handled.is_err() {
            add(&self.counters.panics, 1);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.stack.poll_output() {
            match output {
                Output::Send { flow, bytes } => self.send(flow, bytes),
                Output::Event(event) => self.event(event),
                Output::Keep(flow) => self.connections.keep(flow, true),
                Output::Release(flow) => self.connections.keep(flow, false),
                Output::Handoff { shard, flow, bytes } => self.hand_off(shard, flow, bytes),
            }
        }
    }

    fn send(&mut self, flow: Flow, bytes: Bytes) {
        if flow.transport != Transport::Udp {
            if !self.connections.send(flow.id, bytes) {
                self.lost.push(flow.id);
            }
            return;
        }
        let fitting = self
            .sockets
            .iter_mut()
            .filter_map(|socket| Some((socket.fit(&flow)?, socket)));
        match fitting.min_by_key(|(fit, _)| *fit) {
            Some((_, socket)) => {
                let flushed = socket.send(&flow, bytes);
                add(&self.counters.sent, flushed.sent);
                add(&self.counters.dropped, flushed.dropped);
            }
            None => add(&self.counters.dropped, 1),
        }
    }

    fn event(&mut self, event: Event) {
        // The core starts tasks; they belong on the main runtime and not on this thread's.
        let _main = self.main.enter();
        match event {
            Event::Request {
                request,
                flow,
                replaces,
            } => self.request(request, flow, replaces),
            Event::Noise { flow } => self.core.noise(flow),
            Event::Rejected { flow, status, why } => {
                add(&self.counters.rejected, 1);
                let now = self.clock.now();
                self.core
                    .guard
                    .note(&now, flow.remote.ip(), Offence::Malformed);
                tracing::debug!(transport = %flow.transport, remote = %flow.remote, status = status.0, why, "message refused");
            }
            Event::Session { session, event } => self.core.calls.session_event(session, event),
            Event::Answer { id, outcome } => self.core.answered(id, outcome),
            Event::Pong { mark, .. } => {
                self.core
                    .registrar
                    .location()
                    .pong(mark, self.clock.now().wall);
            }
            Event::Subscription { id, event } => {
                let now = self.clock.now();
                if let Some(command) = self.core.packages.happened(&now, id, event) {
                    self.stack.handle(now.instant, Input::Command(command));
                }
            }
            Event::NoRoom { session } => self.core.calls.no_room(session),
        }
    }

    fn request(&mut self, request: sip::Request, flow: Flow, replaces: Option<sip::Replaced>) {
        let now = self.clock.now();
        // Cheap: a message is slices of one buffer.
        let keeps = !matches!(request.method, Method::Register | Method::Options);
        let kept = keeps.then(|| request.clone());
        let uas = &self.core.uas;
        let command = match uas.request(&now, self.number, request, flow, replaces) {
            Decision::Reply(response) => Command::Reply { flow, response },
            Decision::Hold(id) => match kept {
                Some(request) => Command::Hold { id, request, flow },
                None => return,
            },
            Decision::Serve(response) => match kept {
                Some(request) => Command::Serve {
                    request: Box::new(request),
                    flow,
                    response: Box::new(response),
                },
                None => return,
            },
            Decision::Subscribe {
                subscription,
                terms,
                contact_user,
            } => match kept {
                Some(request) => Command::Subscribe {
                    subscription,
                    request,
                    flow,
                    terms,
                    contact_user,
                },
                None => return,
            },
            Decision::Accept(session) => match kept {
                Some(request) => Command::Accept {
                    session,
                    request,
                    flow,
                },
                None => return,
            },
            Decision::Silence | Decision::Wait => return,
        };
        self.stack.handle(now.instant, Input::Command(command));
    }

    fn hand_off(&self, shard: u8, flow: Flow, bytes: Bytes) {
        let inbox = self.inboxes.get(usize::from(shard));
        if inbox.is_none_or(|inbox| inbox.try_send(Input::Received { flow, bytes }).is_err()) {
            add(&self.counters.dropped, 1);
        }
    }

    /// Tells the stack and the registrar of flows that are gone; each once, whatever the stack still wants to send there.
    fn report_lost(&mut self) {
        let mut told: Vec<FlowId> = Vec::new();
        while let Some(id) = self.lost.pop() {
            if told.contains(&id) {
                continue;
            }
            told.push(id);
            {
                let _main = self.main.enter();
                self.core.flow_closed(id);
            }
            self.stack
                .handle(self.clock.now().instant, Input::FlowClosed(id));
            self.drain();
        }
    }
}

/// Waits until one of the sockets has a datagram.
async fn readable(sockets: &[Datagrams]) {
    std::future::poll_fn(|context| {
        // Every one is asked, so that every one wakes this task.
        let ready = sockets
            .iter()
            .filter(|socket| socket.poll_ready(context).is_ready())
            .count();
        if ready > 0 {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}
