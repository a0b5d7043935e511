//! What messaging promises, against a real PostgreSQL and a real RabbitMQ.
//!
//! Needs `DATABASE_URL` (a superuser's; each test makes its own database), `BROKER_URL` and `BROKER_MANAGEMENT_URL`
//! (each test makes its own virtual host).

mod stage;

mod outbox;

mod relay;

mod outage;

mod consumer;

mod dead_letters;

mod trace;
