//! Whoever never bought is revoked, the money goes back, and pays for people in the next batch.

use std::collections::BTreeSet;

use proto::{enrollment::v1::Scheme, r#type::v1::Money};
use tests::{
    cluster::to_time,
    eventually::{check, eventually},
    programme::{PATIENCE, award_cost},
};
use time::Duration;

use super::{BATCH, Drawn, NEXT_BATCH, Run};
use crate::Fault;

/// How many apply for each place of the next batch.
const APPLICANTS_PER_PLACE: usize = 5;

/// What went back, and what it paid for.
#[derive(Debug)]
pub(crate) struct Returned {
    /// Participants who never bought.
    pub(crate) idle: u64,
    /// The batch that the money paid for; `None` when nothing came back.
    pub(crate) next_batch: Option<&'static str>,
    pub(crate) next_awarded: u64,
}

impl Run<'_> {
    pub(super) async fn give_back(
        &mut self,
        scheme: &Scheme,
        drawn: &Drawn,
    ) -> Result<Returned, Fault> {
        let idle = drawn
            .participations
            .iter()
            .filter(|participation| self.cast.is_idle(&participation.account));
        let revoked = idle.count() as u64;
        self.revoke(drawn, revoked).await?;
        self.cluster.settle().await;
        let returned = self.programme.trace_funds(BATCH).await?.returned;
        let returned = returned.unwrap_or_default();
        let places = returned.units / award_cost(scheme).units;
        if places == 0 {
            return Ok(Returned {
                idle: revoked,
                next_batch: None,
                next_awarded: 0,
            });
        }
        let next = self.pay_for_next(scheme, drawn, places.unsigned_abs(), returned);
        Ok(Returned {
            idle: revoked,
            next_batch: Some(NEXT_BATCH),
            next_awarded: next.await?,
        })
    }

    /// Moves the clock past the deadline of the first purchase, and waits for the money.
    async fn revoke(&mut self, drawn: &Drawn, expected: u64) -> Result<(), Fault> {
        let Some(first) = drawn.participations.first() else {
            return Ok(());
        };
        let deadline = first.first_purchase_deadline.ok_or("no deadline")?;
        let past = to_time(deadline) + Duration::seconds(2);
        self.cluster.advance_clock(past).await;
        let programme = &self.programme;
        self.stages
            .run(
                self.cluster.broker(),
                "revoke and return",
                (expected, "balances"),
                async |bar| {
                    eventually(PATIENCE, "unused money is back", || async {
                        let trace = programme.trace_funds(BATCH).await;
                        let trace = trace.map_err(|status| status.to_string())?;
                        let returned = trace.returned_count.unsigned_abs();
                        bar.set_position(returned);
                        check(returned == expected, || format!("{returned} of {expected}"))
                    })
                    .await;
                    Ok(())
                },
            )
            .await
    }

    /// Runs the next batch on what came back, for people who won nothing before.
    async fn pay_for_next(
        &mut self,
        scheme: &Scheme,
        drawn: &Drawn,
        places: u64,
        returned: Money,
    ) -> Result<u64, Fault> {
        self.open(scheme, NEXT_BATCH, places).await?;
        self.programme
            .reallocate(BATCH, NEXT_BATCH, returned)
            .await?;
        let winners: BTreeSet<&str> = drawn
            .participations
            .iter()
            .map(|participation| participation.account.as_str())
            .collect();
        let applicants = drawn
            .entrants
            .iter()
            .map(|application| application.account.as_str())
            .filter(|account| !winners.contains(account))
            .take(usize::try_from(places)? * APPLICANTS_PER_PLACE)
            .collect();
        self.apply("next: apply", NEXT_BATCH, applicants).await?;
        self.draw("next: freeze", "next: draw", NEXT_BATCH).await?;
        let awarded = self.award("next: award", "next: fund", NEXT_BATCH).await?;
        Ok(awarded.len() as u64)
    }
}
