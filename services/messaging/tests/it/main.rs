//! What messaging promises, against a real PostgreSQL and a real RabbitMQ.
//!
//! Needs `DATABASE_URL` (a superuser's; each test makes its own database), `BROKER_URL` and `BROKER_MANAGEMENT_URL`
//! (each test makes its own virtual host).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends here; clippy knows tests by their attribute, not their helpers"
)]

mod stage;

mod outbox;

mod relay;

mod outage;

mod consumer;

mod dead_letters;

mod trace;
