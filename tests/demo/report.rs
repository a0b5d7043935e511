//! The report at the end: what became of the people, where the money is, whether the draw is valid, how fast it went.

use proto::{
    enrollment::v1::BatchFunnel,
    payout::v1::{FundTrace, LedgerAudit},
    r#type::v1::Money,
};
use serde_json::Value;
use tests::{
    cluster::Cluster,
    process::Service,
    programme::{ImportReport, Programme, award_cost, outside_of},
};

use crate::{
    Fault,
    format::{amount, grouped, rate, seconds},
    run::{BATCH, Outcome},
    stages::Stages,
};

/// Everything that the report tells.
pub(crate) struct Report {
    outcome: Outcome,
    stages: Stages,
    funnel: BatchFunnel,
    traces: Vec<FundTrace>,
    audit: LedgerAudit,
    /// Events that were published, all in all.
    events: u64,
    /// Each service's peak of memory in KiB, and its processor time in seconds.
    processes: Vec<(Service, u64, u64)>,
}

impl Report {
    /// Asks the system for what the report tells.
    pub(crate) async fn collect(
        cluster: &Cluster,
        programme: &Programme,
        stages: Stages,
        outcome: Outcome,
    ) -> Result<Report, Fault> {
        cluster.settle().await;
        let batch = programme.batch(BATCH).await?;
        let mut traces = vec![programme.trace_funds(BATCH).await?];
        if let Some(next) = outcome.returned.next_batch {
            traces.push(programme.trace_funds(next).await?);
        }
        let usage = |service: &Service| {
            let process = cluster.process(*service);
            let memory = process.memory_peak_kib().unwrap_or_default();
            (
                *service,
                memory,
                process.processor_seconds().unwrap_or_default(),
            )
        };
        Ok(Report {
            funnel: batch.funnel.unwrap_or_default(),
            traces,
            audit: programme.audit_ledger().await?,
            processes: cluster.services().iter().map(usage).collect(),
            events: cluster.broker().published().await,
            stages,
            outcome,
        })
    }

    /// Prints everything, and fails when anything does not add up: a demo that hides that would be worse than none.
    pub(crate) fn print(&self) -> Result<(), String> {
        self.print_imports();
        self.print_funnel();
        self.print_money();
        self.print_draw();
        self.print_open_to_all();
        self.print_figures();
        let faults = self.faults();
        if faults.is_empty() {
            println!("\neverything adds up");
            Ok(())
        } else {
            Err(faults.join("\n"))
        }
    }

    /// Returns each figure that contradicts another one.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut same = |what: &str, told: u64, expected: u64| {
            if told != expected {
                faults.push(format!("{what}: {told} instead of {expected}"));
            }
        };
        let (outcome, funnel, trace) = (&self.outcome, &self.funnel, &self.traces[0]);
        let count = i64::unsigned_abs;
        let units = |money: Option<&Money>| money.map_or(0, |money| count(money.units));
        let winners = outcome.drawn.participations.len() as u64;
        let places = outcome.drawn.places;
        let cost = count(award_cost(&outcome.scheme).units);
        same("allotted", units(trace.allotted.as_ref()), places * cost);
        same("applied", count(funnel.applied_count), outcome.verified);
        let entrants = outcome.drawn.entrants.len() as u64;
        same("in the draw", count(funnel.entrant_count), entrants);
        same("drawn", count(funnel.drawn_count), winners);
        same("funded", count(trace.funded_count), winners);
        same("active", count(funnel.active_count), outcome.bought);
        same(
            "completed",
            count(funnel.completed_count),
            outcome.completed,
        );
        same(
            "revoked",
            count(funnel.revoked_count),
            outcome.returned.idle,
        );
        same(
            "gave back",
            count(trace.returned_count),
            outcome.returned.idle,
        );
        same("paid twice", outcome.paid.twice, 0);
        for trace in &self.traces {
            let nowhere = count(outside_of(trace));
            same(
                &format!("{}: money that is nowhere", trace.batch),
                nowhere,
                0,
            );
        }
        let fields = &outcome.drawn.verdict.fields;
        let verified = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or_default();
        same("entrants, by the verifier", verified("entrants"), entrants);
        same("winners, by the verifier", verified("winners"), winners);
        if fields.get("listed") == Some(&Value::Bool(false)) {
            faults.push("the holder of a receipt is not in the draw".to_owned());
        }
        for account in &self.audit.differing_accounts {
            faults.push(format!("{account} differs from its transfers"));
        }
        let incentives = format!("{}.00", units(trace.incentives.as_ref()));
        if incentives != outcome.paid.amount {
            let book = &outcome.paid.amount;
            faults.push(format!("the ledger paid {incentives}, the bank {book}"));
        }
        faults
    }

    fn print_imports(&self) {
        println!(
            "\n{} ({})",
            self.outcome.scheme.display_name, self.outcome.scheme.name
        );
        let imports = &self.outcome.imports;
        print_import("courses", &imports.courses);
        print_import("regions", &imports.regions);
        print_import("vacancies", &imports.vacancies);
        for reason in &imports.left_out {
            println!("  recipients per regency, left out: {reason}");
        }
    }

    fn print_funnel(&self) {
        let funnel = &self.funnel;
        let count = |count: i64| count.unsigned_abs();
        println!("\nthe people of {BATCH}");
        print_count("registered", self.outcome.registered);
        print_count("verified", self.outcome.verified);
        print_count("applied", count(funnel.applied_count));
        print_count("refused", count(funnel.refused_count));
        let mut reasons: Vec<_> = funnel.refused_counts.iter().collect();
        reasons.sort();
        for (reason, refused) in reasons {
            print_count(&format!("  {}", reason.to_lowercase()), count(*refused));
        }
        print_count("in the draw", count(funnel.entrant_count));
        print_count("drawn", count(funnel.drawn_count));
        print_count("active", count(funnel.active_count));
        print_count("completed", count(funnel.completed_count));
        print_count("paid", count(self.traces[0].paid_count));
        print_count("revoked", count(funnel.revoked_count));
        if self.outcome.returned.next_batch.is_some() {
            print_count("won in the next batch", self.outcome.returned.next_awarded);
        }
    }

    fn print_money(&self) {
        for trace in &self.traces {
            println!("\nthe money of {}, from the ledger", trace.batch);
            print_amount("allotted", trace.allotted.as_ref());
            if trace
                .received_from_batches
                .as_ref()
                .is_some_and(|money| money.units > 0)
            {
                print_amount(
                    "  of that re-allocated",
                    trace.received_from_batches.as_ref(),
                );
            }
            print_amount("= spent on courses", trace.spent.as_ref());
            print_amount("+ incentives paid", trace.incentives.as_ref());
            print_amount("+ returned", trace.returned.as_ref());
            print_amount("+ re-allocated", trace.reallocated.as_ref());
            print_amount("+ outstanding", trace.outstanding.as_ref());
            let difference = outside_of(trace);
            println!("  {:<24}{difference:>24}", "difference");
        }
        println!(
            "\nthe ledger: {} transfers between {} accounts, {} of which differ from their transfers",
            grouped(self.audit.transfer_count.unsigned_abs()),
            grouped(self.audit.account_count.unsigned_abs()),
            self.audit.differing_accounts.len()
        );
        let paid = &self.outcome.paid;
        println!(
            "the bank's book: {} paid; {} of its answers were lost, {} inquiries, {} accounts paid twice",
            paid.amount, paid.lost_replies, paid.inquiries, paid.twice
        );
    }

    fn print_draw(&self) {
        let verdict = &self.outcome.drawn.verdict;
        println!(
            "\nthe draw, by bekal-verify on {}",
            verdict.bundle.display()
        );
        // The proof of inclusion is for a program.
        for (name, value) in verdict.fields.iter().filter(|(name, _)| *name != "proof") {
            println!(
                "  {name:<24} {}",
                value.as_str().map_or(value.to_string(), str::to_owned)
            );
        }
    }

    fn print_open_to_all(&self) {
        println!("\na Skills Week voucher: {}", self.outcome.voucher);
        let Some(recommended) = &self.outcome.recommended else {
            println!("jobs for a graduate: nobody graduated");
            return;
        };
        println!("jobs for a graduate of \"{}\"", recommended.course_title);
        if recommended.recommendations.is_empty() {
            println!("  none");
        }
        for one in recommended.recommendations.iter().take(3) {
            let vacancy = one.vacancy.clone().unwrap_or_default();
            let reasons = one.reasons.iter().map(|reason| reason.matched.as_str());
            println!(
                "  {}, {} ({}): {}",
                vacancy.title,
                vacancy.company,
                vacancy.location,
                reasons.collect::<Vec<_>>().join(", ")
            );
        }
    }

    fn print_figures(&self) {
        let stages = &self.stages;
        println!("\nthe stages");
        for stage in stages.done() {
            println!("{stage}");
        }
        let total = stages.done().iter().map(|stage| stage.took).sum();
        let registration = stages.took(&["register", "verify"]);
        let selection = stages.took(&["freeze", "draw", "award", "fund"]);
        let apply = stages.took(&["apply"]);
        let events = self.events;
        println!("\nthe figures");
        println!(
            "  {:<38}{:>12}",
            "from the start to the report",
            seconds(self.outcome.took)
        );
        println!("  {:<38}{:>12}", "of that in stages", seconds(total));
        let people = rate(self.outcome.registered, registration);
        println!(
            "  {:<38}{:>10}/s",
            "people registered and verified",
            grouped(people)
        );
        let applications = rate(stages.count("apply"), apply);
        println!("  {:<38}{:>10}/s", "applications", grouped(applications));
        println!(
            "  {:<38}{:>12}",
            "freeze, draw, award and fund",
            seconds(selection)
        );
        println!("  {:<38}{:>12}", "events published", grouped(events));
        println!(
            "  {:<38}{:>10}/s",
            "events, over all stages",
            grouped(rate(events, total))
        );
        let peak = match self.events_peak() {
            0 => "no stage was long enough to tell".to_owned(),
            peak => format!("{:>10}/s", grouped(peak)),
        };
        println!("  {:<38}{peak}", "events, in the busiest stage");
        for (service, memory_kib, processor_seconds) in &self.processes {
            let what = format!("{}: memory at its peak", service.name());
            println!(
                "  {what:<38}{:>8} MiB{processor_seconds:>8} s of processor",
                memory_kib / 1024
            );
        }
    }

    /// Returns the most events a second of any stage that lasted long enough for the broker's counters.
    fn events_peak(&self) -> u64 {
        let mut before = 0;
        let mut peak = 0;
        for stage in self.stages.done() {
            if stage.took.as_secs() >= 5 {
                peak = peak.max(rate(stage.events.saturating_sub(before), stage.took));
            }
            before = stage.events;
        }
        peak
    }
}

fn print_import(what: &str, report: &ImportReport) {
    println!(
        "  {what}: {} rows: {} created, {} updated, {} unchanged, {} folded, {} refused, {} with a warning",
        grouped(report.row_count()),
        grouped(report.created),
        grouped(report.updated),
        grouped(report.unchanged),
        grouped(report.duplicate),
        grouped(report.refused),
        grouped(report.warned)
    );
    for refusal in &report.refusals {
        println!("    refused: {refusal}");
    }
}

fn print_count(what: &str, count: u64) {
    println!("  {what:<32}{:>16}", grouped(count));
}

fn print_amount(what: &str, money: Option<&Money>) {
    println!("  {what:<24}{:>24}", amount(money));
}
