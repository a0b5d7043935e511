//! What the domain knows as messages of the contract.

use chassis::names;
use draw::{Commitment, RandomnessSource};
use prost_types::Timestamp;
use proto::{enrollment::v1 as pb, r#type::v1::Date};
use time::{Duration, OffsetDateTime};

use crate::{
    app::{
        applications::ApplicationView,
        decisions::{DecisionView, Replay},
    },
    domain::{
        appeal::{Appeal, AppealState, Ground, Target},
        application::ApplicationState,
        batch::{Annulment, BatchState, BatchView, Beacon, Freeze, Funnel, TrusteeShare},
        campaign::{Campaign, Voucher, VoucherState},
        completion::{Certificate, Evidence, Review},
        decision::{DecisionId, RuleOutcome},
        draft::{DraftReplay, Shift},
        participation::{Participation, ParticipationState},
        purchase::{Purchase, PurchaseState},
        quota::{QuotaPlan, RegionRule},
        scheme::{Incentive, Rule, SchemeView, Trigger, YearEnd},
        time_zone::Day,
    },
};

fn timestamp(time: OffsetDateTime) -> Option<Timestamp> {
    Some(crate::app::awards::timestamp(time))
}

impl From<&SchemeView> for pb::Scheme {
    fn from(view: &SchemeView) -> pb::Scheme {
        let (scheme, period) = (&view.stored.scheme, &view.period);
        pb::Scheme {
            name: names::format("schemes", &scheme.id),
            programme: scheme.programme.clone(),
            display_name: scheme.display_name.clone(),
            time_zone: scheme.time_zone.name().to_owned(),
            currency_code: scheme.currency.code().to_owned(),
            training_balance: Some(scheme.training_balance.to_proto()),
            incentives: scheme.incentives.iter().map(pb::Incentive::from).collect(),
            first_purchase_days: i32::try_from(scheme.first_purchase_days).unwrap_or(i32::MAX),
            household_limit: i32::from(scheme.household_limit),
            rules: scheme
                .rules
                .rules()
                .iter()
                .map(pb::EligibilityRule::from)
                .collect(),
            rule_set_hash: scheme.rules.hash().to_vec(),
            content_hash: scheme.content_hash.to_vec(),
            create_time: timestamp(view.stored.create_time),
            completion_rule: Some(pb::CompletionRule {
                attendance_permille_min: scheme.completion.attendance_permille_min,
                post_test_score_min: scheme.completion.post_test_score_min,
            }),
            languages: scheme.languages.clone(),
            region_time_zones: scheme
                .region_time_zones
                .iter()
                .map(|(region, zone)| (region.clone(), zone.name().to_owned()))
                .collect(),
            next_purchase_days: scheme
                .next_purchase_days
                .map_or(0, |days| i32::try_from(days).unwrap_or(i32::MAX)),
            year_ends: scheme.year_ends.iter().map(year_end).collect(),
            facts: scheme
                .fact_kinds
                .iter()
                .map(|(name, kind)| pb::FactDeclaration {
                    name: name.clone(),
                    r#type: kind.to_string(),
                    default_value: scheme.default_of(name),
                })
                .collect(),
            valid_from_date: period.first_day(&scheme.time_zone).map(date),
            valid_until_date: period.last_day(&scheme.time_zone).map(date),
        }
    }
}

fn date(day: Day) -> Date {
    Date {
        year: day.year,
        month: day.month,
        day: day.day,
    }
}

fn year_end((year, end): (&i32, &YearEnd)) -> pb::YearEnd {
    pb::YearEnd {
        year: *year,
        purchase_date: end.purchase.map(date),
        completion_date: end.completion.map(date),
        review_date: end.review.map(date),
        payee_date: end.payee.map(date),
        survey_date: end.survey.map(date),
    }
}

impl From<&Incentive> for pb::Incentive {
    fn from(incentive: &Incentive) -> pb::Incentive {
        let trigger = match incentive.trigger {
            Trigger::FirstCompletion => pb::incentive::Trigger::FirstCompletion,
            Trigger::Survey => pb::incentive::Trigger::Survey,
        };
        pb::Incentive {
            benefit: incentive.benefit.clone(),
            trigger: trigger.into(),
            amount: Some(incentive.amount.to_proto()),
            instalment_count: incentive.instalment_count,
            instalment_interval_days: incentive.instalment_interval_days,
        }
    }
}

impl From<&Rule> for pb::EligibilityRule {
    fn from(rule: &Rule) -> pb::EligibilityRule {
        pb::EligibilityRule {
            reason: rule.reason.clone(),
            expression: rule.expression.source().to_owned(),
            texts: rule.texts.clone(),
        }
    }
}

impl From<BatchView> for pb::Batch {
    fn from(view: BatchView) -> pb::Batch {
        let batch = view.batch;
        let state = match batch.state {
            BatchState::Draft => pb::batch::State::Draft,
            BatchState::Open => pb::batch::State::Open,
            BatchState::Closed => pb::batch::State::Closed,
            BatchState::Frozen => pb::batch::State::Frozen,
            BatchState::Drawn => pb::batch::State::Drawn,
            BatchState::Awarded => pb::batch::State::Awarded,
            BatchState::Annulled => pb::batch::State::Annulled,
        };
        let plan = &batch.randomness;
        let beacon = plan
            .beacon
            .map(|beacon| drand_beacon(beacon, batch.freeze.as_ref()));
        pb::Batch {
            name: batch.name(),
            scheme: names::format("schemes", &batch.scheme_id),
            quorum: i32::from(plan.quorum),
            reveal_window: duration(plan.reveal_window),
            beacon,
            reveal_deadline: batch
                .freeze
                .as_ref()
                .and_then(|freeze| timestamp(freeze.reveal_deadline)),
            quota_plan: Some(batch.quota_plan.into()),
            trustees: batch.randomness.trustees,
            state: state.into(),
            freeze_time: batch
                .freeze
                .as_ref()
                .and_then(|freeze| timestamp(freeze.time)),
            commitment: batch.freeze.map(pb::DrawCommitment::from),
            trustee_shares: view
                .shares
                .into_iter()
                .map(pb::TrusteeShare::from)
                .collect(),
            annulment: view.annulment.map(pb::BatchAnnulment::from),
            funnel: view.funnel.map(pb::BatchFunnel::from),
            create_time: timestamp(batch.create_time),
            open_time: batch.open_time.and_then(timestamp),
            close_time: batch.close_time.and_then(timestamp),
            draw_time: batch.draw_time.and_then(timestamp),
            // While the award is under way its time is fixed, but it has not happened yet.
            award_time: batch
                .award_time
                .filter(|_| batch.state == BatchState::Awarded)
                .and_then(timestamp),
        }
    }
}

impl From<Annulment> for pb::BatchAnnulment {
    fn from(annulment: Annulment) -> pb::BatchAnnulment {
        let (confirmer, confirm_time) = annulment.confirmation.unzip();
        pb::BatchAnnulment {
            reason: annulment.reason,
            proposer: annulment.proposer,
            propose_time: timestamp(annulment.propose_time),
            confirmer: confirmer.unwrap_or_default(),
            confirm_time: confirm_time.and_then(timestamp),
        }
    }
}

fn drand_beacon(beacon: Beacon, freeze: Option<&Freeze>) -> pb::DrandBeacon {
    // What was signed is well formed.
    let commitment = freeze.and_then(|freeze| Commitment::from_bytes(&freeze.encoded).ok());
    let round = commitment.and_then(|commitment| match commitment.source {
        RandomnessSource::Drand(round) => Some(round),
        RandomnessSource::CommitReveal(source) => source.beacon,
        _ => None,
    });
    let seconds = |seconds: u64| {
        Some(Timestamp {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            nanos: 0,
        })
    };
    pb::DrandBeacon {
        public_key: beacon.chain.public_key.to_vec(),
        genesis_time: seconds(beacon.chain.genesis_time),
        period: duration(Duration::seconds(i64::from(
            beacon.chain.period_seconds.get(),
        ))),
        lead_time: duration(beacon.lead_time),
        round: round.map_or(0, |round| i64::try_from(round.round).unwrap_or(i64::MAX)),
        round_time: round.and_then(|round| seconds(round.time())),
        signature: freeze
            .and_then(|freeze| freeze.beacon_signature)
            .map(|signature| signature.to_vec())
            .unwrap_or_default(),
    }
}

fn duration(duration: Duration) -> Option<prost_types::Duration> {
    Some(prost_types::Duration {
        seconds: duration.whole_seconds(),
        nanos: 0,
    })
}

impl From<QuotaPlan> for pb::QuotaPlan {
    fn from(plan: QuotaPlan) -> pb::QuotaPlan {
        let region_rule = match plan.region_rule {
            RegionRule::None => pb::quota_plan::RegionRule::None,
            RegionRule::Fixed => pb::quota_plan::RegionRule::Fixed,
            RegionRule::Proportional => pb::quota_plan::RegionRule::Proportional,
        };
        let groups = plan
            .reserved_groups
            .into_iter()
            .map(|group| pb::ReservedGroup {
                name: group.name,
                place_count: group.place_count,
                expression: group.expression,
            });
        let regions = plan.regions.into_iter().map(|share| pb::RegionShare {
            region: share.region,
            weight: share.weight,
            floor: share.floor,
        });
        pb::QuotaPlan {
            place_count: plan.place_count,
            reserved_groups: groups.collect(),
            region_rule: region_rule.into(),
            regions: regions.collect(),
        }
    }
}

impl From<Freeze> for pb::DrawCommitment {
    fn from(freeze: Freeze) -> pb::DrawCommitment {
        pb::DrawCommitment {
            entrant_count: freeze.entrant_count,
            merkle_root: freeze.merkle_root,
            rule_set_hash: freeze.rule_set_hash,
            encoded: freeze.encoded,
            signature: freeze.signature,
            public_key: freeze.public_key,
        }
    }
}

impl From<TrusteeShare> for pb::TrusteeShare {
    fn from(share: TrusteeShare) -> pb::TrusteeShare {
        pb::TrusteeShare {
            trustee: share.trustee,
            commitment: share.commitment.to_vec(),
            secret: share.secret.map(Vec::from).unwrap_or_default(),
        }
    }
}

impl From<Funnel> for pb::BatchFunnel {
    fn from(funnel: Funnel) -> pb::BatchFunnel {
        pb::BatchFunnel {
            applied_count: funnel.applied,
            refused_counts: funnel.refused_by_reason,
            refused_count: funnel.refused,
            entrant_count: funnel.entrants,
            drawn_count: funnel.drawn,
            active_count: funnel.active,
            completed_count: funnel.completed,
            revoked_count: funnel.revoked,
        }
    }
}

impl From<ApplicationView> for pb::Application {
    fn from(view: ApplicationView) -> pb::Application {
        let application = view.application;
        let rules = &view.scheme.scheme.rules;
        let state = match application.state() {
            ApplicationState::Accepted => pb::application::State::Accepted,
            ApplicationState::Refused => pb::application::State::Refused,
            ApplicationState::Drawn => pb::application::State::Drawn,
            ApplicationState::NotDrawn => pb::application::State::NotDrawn,
        };
        let refusal = |reason: &String| pb::RefusalReason {
            reason: reason.clone(),
            texts: rules.texts(reason),
        };
        let receipt = draw::Receipt {
            batch: names::format("batches", &application.batch_id),
            pseudonym: application.pseudonym,
            apply_time: u64::try_from(application.create_time.unix_timestamp()).unwrap_or_default(),
        };
        pb::Application {
            name: names::format("applications", application.id),
            batch: receipt.batch.clone(),
            account: names::format("accounts", application.account_id),
            state: state.into(),
            decision: Some(pb::EligibilityDecision {
                name: DecisionId {
                    application_id: application.id,
                    stage: application.decision_stage,
                }
                .to_string(),
                eligible: application.eligible,
                rule_set_hash: application.rule_set_hash,
                facts_hash: application.facts_hash,
                refusals: application.refusals.iter().map(refusal).collect(),
                decide_time: timestamp(application.decide_time),
            }),
            receipt: Some(pb::ApplicationReceipt {
                pseudonym: application.pseudonym.to_vec(),
                encoded: receipt
                    .to_bytes()
                    .expect("a batch's name is within the limits"),
                signature: application.signature.to_vec(),
            }),
            rank: application
                .result
                .map_or(0, |outcome| i64::from(outcome.rank)),
            create_time: timestamp(application.create_time),
        }
    }
}

impl From<DecisionView> for pb::DecisionExplanation {
    fn from(view: DecisionView) -> pb::DecisionExplanation {
        let scheme = &view.rules.scheme.scheme;
        let decision = view.decision;
        let rule = |outcome: RuleOutcome<'_>| {
            let state = match outcome.kept {
                Some(true) => pb::rule_outcome::State::Kept,
                Some(false) => pb::rule_outcome::State::Broken,
                None => pb::rule_outcome::State::NotApplied,
            };
            pb::RuleOutcome {
                reason: outcome.rule.reason.clone(),
                state: state.into(),
                texts: outcome.rule.texts.clone().into_iter().collect(),
                facts: outcome.facts.into_iter().collect(),
            }
        };
        let refusal = |reason: &String| pb::RefusalReason {
            reason: reason.clone(),
            texts: scheme.rules.texts(reason).into_iter().collect(),
        };
        let snapshot = |(fact, time): (&String, &OffsetDateTime)| pb::ListSnapshot {
            fact: fact.clone(),
            snapshot_time: timestamp(*time),
        };
        pb::DecisionExplanation {
            rules: decision.explain(scheme).into_iter().map(rule).collect(),
            list_snapshots: decision.list_snapshots.iter().map(snapshot).collect(),
            facts_change_time: decision.facts_change_time.and_then(timestamp),
            decision: Some(pb::EligibilityDecision {
                name: decision.id.to_string(),
                eligible: decision.eligible,
                refusals: decision.refusals.iter().map(refusal).collect(),
                rule_set_hash: decision.rule_set_hash,
                facts_hash: decision.facts_hash,
                decide_time: timestamp(decision.decide_time),
            }),
        }
    }
}

impl From<Replay> for pb::DecisionReplay {
    fn from(replay: Replay) -> pb::DecisionReplay {
        let difference = |(id, fields): (DecisionId, Vec<&'static str>)| pb::DecisionDifference {
            decision: id.to_string(),
            fields: fields.into_iter().map(str::to_owned).collect(),
        };
        pb::DecisionReplay {
            replayed_count: replay.replayed,
            agreed_count: replay.agreed,
            differences: replay.differences.into_iter().map(difference).collect(),
        }
    }
}

impl From<Shift> for pb::Shift {
    fn from(shift: Shift) -> pb::Shift {
        pb::Shift {
            application_count: shift.applications,
            eligible_count: shift.eligible,
            gained_count: shift.gained,
            lost_count: shift.lost,
        }
    }
}

impl From<DraftReplay> for pb::DraftReplay {
    fn from(replay: DraftReplay) -> pb::DraftReplay {
        let stratum = |(stratum, shift): (String, Shift)| pb::StratumShift {
            stratum,
            shift: Some(shift.into()),
        };
        pb::DraftReplay {
            total: Some(replay.total.into()),
            strata: replay.strata.into_iter().map(stratum).collect(),
            lost_by_reason: replay.lost_by_reason,
            gained_by_reason: replay.gained_by_reason,
        }
    }
}

impl From<Participation> for pb::Participation {
    fn from(participation: Participation) -> pb::Participation {
        let state = match participation.state {
            ParticipationState::Awarded => pb::participation::State::Awarded,
            ParticipationState::Active => pb::participation::State::Active,
            ParticipationState::Completed => pb::participation::State::Completed,
            ParticipationState::Frozen => pb::participation::State::Frozen,
            ParticipationState::Revoked => pb::participation::State::Revoked,
        };
        let freeze = participation.freeze;
        pb::Participation {
            name: names::format("participations", participation.id),
            batch: names::format("batches", &participation.batch_id),
            account: names::format("accounts", participation.account_id),
            application: names::format("applications", participation.application_id),
            state: state.into(),
            funded: participation.funded,
            first_purchase_deadline: timestamp(participation.first_purchase_deadline),
            award_time: timestamp(participation.award_time),
            revoke_time: participation.revoke_time.and_then(timestamp),
            freeze_time: freeze.as_ref().and_then(|freeze| timestamp(freeze.time)),
            freeze_reasons: freeze.map(|freeze| freeze.reasons).unwrap_or_default(),
        }
    }
}

impl From<Appeal> for pb::Appeal {
    fn from(appeal: Appeal) -> pb::Appeal {
        let state = match appeal.state {
            AppealState::Open => pb::appeal::State::Open,
            AppealState::Granted => pb::appeal::State::Granted,
            AppealState::Rejected => pb::appeal::State::Rejected,
        };
        let ground = match appeal.new.ground {
            Ground::ListWrong => pb::appeal::Ground::ListWrong,
            Ground::FactsWrong => pb::appeal::Ground::FactsWrong,
            Ground::FactsChanged => pb::appeal::Ground::FactsChanged,
            Ground::Unfounded => pb::appeal::Ground::Unfounded,
        };
        let mut message = pb::Appeal {
            name: names::format("appeals", appeal.id),
            account: names::format("accounts", appeal.account_id),
            ground: ground.into(),
            document_id: appeal
                .new
                .document_id
                .map(|id| id.to_string())
                .unwrap_or_default(),
            reasons: appeal.reasons,
            state: state.into(),
            create_time: timestamp(appeal.create_time),
            ..pb::Appeal::default()
        };
        match appeal.new.target {
            Target::Decision {
                application_id,
                stage,
            } => {
                message.application = names::format("applications", application_id);
                message.decision_stage = i32::from(stage);
            }
            Target::Participation(id) => {
                message.participation = names::format("participations", id)
            }
        }
        if let Some(resolution) = appeal.resolution {
            message.resolver = resolution.resolved_by;
            message.resolve_reason = resolution.reason;
            message.resolve_time = timestamp(resolution.time);
        }
        message
    }
}

impl From<Purchase> for pb::Purchase {
    fn from(purchase: Purchase) -> pb::Purchase {
        let state = match purchase.state {
            PurchaseState::Pending => pb::purchase::State::Pending,
            PurchaseState::Completed => pb::purchase::State::Completed,
            PurchaseState::Failed => pb::purchase::State::Failed,
        };
        // What is being given back has not failed yet.
        let failure_reason = purchase
            .failure_reason
            .filter(|_| purchase.state == PurchaseState::Failed);
        let mut message = pb::Purchase {
            name: names::format("purchases", purchase.id),
            participation: names::format("participations", purchase.participation_id),
            run: names::format("runs", purchase.run_id),
            state: state.into(),
            failure_reason: failure_reason.unwrap_or_default(),
            redeem_code: purchase.redeem_code.unwrap_or_default(),
            redeem_time: purchase.redeem_time.and_then(timestamp),
            create_time: timestamp(purchase.create_time),
            end_time: purchase.end_time.and_then(timestamp),
            ..pb::Purchase::default()
        };
        if let Some(offer) = purchase.offer {
            message.course = names::format("courses", offer.course_id);
            message.provider = names::format("providers", offer.provider_id);
            message.price = Some(offer.price.to_proto());
            message.course_title = offer.course_title;
        }
        message
    }
}

impl From<Evidence> for pb::CompletionEvidence {
    fn from(evidence: Evidence) -> pb::CompletionEvidence {
        pb::CompletionEvidence {
            attendance_permille: evidence.attendance_permille,
            pre_test_score: evidence.pre_test_score,
            post_test_score: evidence.post_test_score,
            practical_assignment_uri: evidence.practical_assignment_uri,
            trainer_feedback_time: timestamp(evidence.trainer_feedback_time),
        }
    }
}

impl From<Certificate> for pb::Certificate {
    fn from(certificate: Certificate) -> pb::Certificate {
        pb::Certificate {
            name: names::format("certificates", certificate.id),
            number: certificate.number,
            account: names::format("accounts", certificate.account_id),
            participation: names::format("participations", certificate.participation_id),
            purchase: names::format("purchases", certificate.purchase_id),
            course: names::format("courses", certificate.course_id),
            course_title: certificate.course_title,
            evidence: Some(certificate.evidence.into()),
            issue_time: timestamp(certificate.issue_time),
        }
    }
}

impl From<Review> for pb::Review {
    fn from(review: Review) -> pb::Review {
        pb::Review {
            name: format!("certificates/{}/review", review.certificate_id),
            course: names::format("courses", review.course_id),
            stars: review.stars,
            text: review.text,
            create_time: timestamp(review.create_time),
        }
    }
}

impl From<Campaign> for pb::Campaign {
    fn from(campaign: Campaign) -> pb::Campaign {
        pb::Campaign {
            name: names::format("campaigns", &campaign.id),
            display_name: campaign.display_name,
            start_time: timestamp(campaign.start_time),
            end_time: timestamp(campaign.end_time),
            age_min_years: campaign.age_min_years,
            voucher_count: campaign.voucher_count,
            create_time: timestamp(campaign.create_time),
        }
    }
}

impl From<Voucher> for pb::Voucher {
    fn from(voucher: Voucher) -> pb::Voucher {
        let state = match voucher.state {
            VoucherState::Pending => pb::voucher::State::Pending,
            VoucherState::Issued => pb::voucher::State::Issued,
            VoucherState::Failed => pb::voucher::State::Failed,
        };
        pb::Voucher {
            name: names::format("vouchers", voucher.id),
            campaign: names::format("campaigns", &voucher.campaign_id),
            account: names::format("accounts", voucher.account_id),
            run: names::format("runs", voucher.run_id),
            state: state.into(),
            voucher_code: voucher.voucher_code.unwrap_or_default(),
            create_time: timestamp(voucher.create_time),
        }
    }
}
