//! Requests of the contract as the domain knows them, with all violations at once.

use std::num::NonZeroU32;

use chassis::{
    auth::Principal,
    idempotency::RequestKey,
    names, paging,
    status::{Refusal, Violations},
};
use draw::{DrandChain, QUICKNET};
use prost::Message;
use prost_types::Timestamp;
use proto::enrollment::v1 as pb;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    app::applications::Of,
    domain::{
        appeal::{AppealState, Ground, NewAppeal, Target},
        batch::{Beacon, NewBatch, RandomnessPlan, is_chosen_id},
        campaign::Campaign,
        completion::Evidence,
        decision::{AT_APPLICATION, AT_FREEZE, DecisionId},
        quota::{QuotaPlan, RegionRule, RegionShare, ReservedGroup},
        time_zone::Day,
    },
};

const CONTENT_BYTES_MAX: usize = 1024 * 1024;
const TRUSTEES_MAX: usize = 16;
const WAIT_MIN: Duration = Duration::seconds(60);
const WAIT_MAX: Duration = Duration::days(30);
const REVEAL_WINDOW: Duration = Duration::days(1);
const BEACON_LEAD: Duration = Duration::hours(1);
const CHOSEN_ID: &str = "is not 1 to 40 lower-case letters, digits and hyphens";

/// A request that is being read: what was wrong with it so far.
pub(super) struct Reader<'r, M> {
    method: &'static str,
    principal: &'r Principal,
    message: &'r M,
    violations: Violations,
}

impl<'r, M: Message> Reader<'r, M> {
    /// Begins to read a mutating request; `method` is its full name.
    pub(super) fn new(
        method: &'static str,
        principal: &'r Principal,
        message: &'r M,
    ) -> Reader<'r, M> {
        Reader {
            method,
            principal,
            message,
            violations: Violations::new(),
        }
    }

    /// Reads the request's id.
    pub(super) fn key(&mut self, request_id: &str) -> Option<RequestKey> {
        RequestKey::parse(
            self.method,
            self.principal,
            self.message,
            request_id,
            &mut self.violations,
        )
    }

    /// Reads a name whose id is a UUID.
    pub(super) fn uuid(&mut self, field: &str, name: &str, collection: &str) -> Option<Uuid> {
        uuid_name(&mut self.violations, field, name, collection)
    }

    /// Reads a name whose id somebody chose.
    pub(super) fn chosen(&mut self, field: &str, name: &str, collection: &str) -> Option<String> {
        chosen_name(&mut self.violations, field, name, collection)
    }

    /// Reads bytes of a fixed length.
    pub(super) fn bytes32(&mut self, field: &str, bytes: &[u8]) -> Option<[u8; 32]> {
        self.violations
            .require(bytes.try_into().ok(), field, "is not 32 bytes long")
    }

    /// Reads a code: what it stands for is the programme's affair, and it leaves no room for a person's data.
    pub(super) fn code(&mut self, field: &str, code: &str) -> Option<String> {
        let is_code = (1..=63).contains(&code.len())
            && code.starts_with(|c: char| c.is_ascii_uppercase())
            && code
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        self.check(
            is_code,
            field,
            "is not 1 to 63 upper-case letters, digits and underscores",
        );
        is_code.then(|| code.to_owned())
    }

    /// Adds a violation when the size of a page is wrong.
    pub(super) fn page_size(&mut self, page_size: i32) {
        paging::check_size(page_size, &mut self.violations);
    }

    /// Adds a violation unless the condition holds.
    pub(super) fn check(&mut self, holds: bool, field: &str, text: &str) {
        self.violations.check(holds, field, text);
    }

    /// Ends the reading.
    pub(super) fn finish<T>(self, built: Option<T>) -> Result<T, Refusal> {
        self.violations.finish(built)
    }
}

/// Reads a name alone, as Get requests have it.
pub(super) fn get_uuid(name: &str, collection: &str) -> Result<Uuid, Refusal> {
    let mut violations = Violations::new();
    let id = uuid_name(&mut violations, "name", name, collection);
    violations.finish(id)
}

/// Reads the name of a decision.
pub(super) fn get_decision(name: &str) -> Result<DecisionId, Refusal> {
    let mut violations = Violations::new();
    let id = names::split(name, ["applications", "decisions"]).and_then(|[application, stage]| {
        Some(DecisionId {
            application_id: names::uuid(application)?,
            stage: match stage {
                "1" => AT_APPLICATION,
                "2" => AT_FREEZE,
                _ => return None,
            },
        })
    });
    let id = violations.require(id, "name", "is not applications/{uuid}/decisions/{1 or 2}");
    violations.finish(id)
}

/// Reads the batch of a request that names nothing else.
pub(super) fn get_batch(batch: &str) -> Result<String, Refusal> {
    let mut violations = Violations::new();
    let id = chosen_name(&mut violations, "batch", batch, "batches");
    violations.finish(id)
}

/// Reads a name alone whose id somebody chose.
pub(super) fn get_chosen(name: &str, collection: &str) -> Result<String, Refusal> {
    let mut violations = Violations::new();
    let id = chosen_name(&mut violations, "name", name, collection);
    violations.finish(id)
}

fn uuid_name(
    violations: &mut Violations,
    field: &str,
    name: &str,
    collection: &str,
) -> Option<Uuid> {
    let id = names::parse_uuid(name, collection);
    violations.require(id, field, format!("is not a name `{collection}/{{uuid}}`"))
}

fn chosen_name(
    violations: &mut Violations,
    field: &str,
    name: &str,
    collection: &str,
) -> Option<String> {
    let id = names::parse(name, collection).filter(|id| is_chosen_id(id));
    violations
        .require(id, field, format!("is not a name `{collection}/{{id}}`"))
        .map(str::to_owned)
}

/// Reads whose applications or participations a list shows.
pub(super) fn list_of(batch: &str, account: &str, page_size: i32) -> Result<Of, Refusal> {
    let mut violations = Violations::new();
    let batch_id = match batch {
        "" => None,
        name => chosen_name(&mut violations, "batch", name, "batches"),
    };
    let account_id = match account {
        "" => None,
        name => uuid_name(&mut violations, "account", name, "accounts"),
    };
    violations.check(
        !(batch.is_empty() && account.is_empty()),
        "batch",
        "or account is required",
    );
    paging::check_size(page_size, &mut violations);
    violations.into_result()?;
    match (batch_id, account_id) {
        (Some(batch_id), account_id) => Ok(Of::Batch(batch_id, account_id)),
        (None, Some(account_id)) => Ok(Of::Account(account_id)),
        (None, None) => Err(Refusal::internal("a checked list is of nobody")),
    }
}

pub(super) fn import_scheme(
    principal: &Principal,
    request: &pb::ImportSchemeRequest,
) -> Result<RequestKey, Refusal> {
    let mut reader = Reader::new(
        "bekal.enrollment.v1.SchemeService/ImportScheme",
        principal,
        request,
    );
    let key = reader.key(&request.request_id);
    scheme_text(&mut reader.violations, &request.file_name, &request.content);
    reader.finish(key)
}

pub(super) fn end_scheme(
    principal: &Principal,
    request: &pb::EndSchemeRequest,
) -> Result<(RequestKey, String, Day), Refusal> {
    let mut reader = Reader::new(
        "bekal.enrollment.v1.SchemeService/EndScheme",
        principal,
        request,
    );
    let key = reader.key(&request.request_id);
    let id = reader.chosen("name", &request.name, "schemes");
    let last = request.valid_until_date.map(|date| Day {
        year: date.year,
        month: date.month,
        day: date.day,
    });
    reader.check(last.is_some(), "valid_until_date", "is required");
    reader.finish((|| Some((key?, id?, last?)))())
}

pub(super) fn replay_draft(request: &pb::ReplayDraftRequest) -> Result<String, Refusal> {
    let mut violations = Violations::new();
    let batch_id = chosen_name(&mut violations, "batch", &request.batch, "batches");
    scheme_text(&mut violations, &request.file_name, &request.content);
    violations.finish(batch_id)
}

fn scheme_text(violations: &mut Violations, file_name: &str, content: &str) {
    let is_name = (1..=200).contains(&file_name.len()) && !file_name.contains(char::is_control);
    violations.check(
        is_name,
        "file_name",
        "is not 1 to 200 bytes of printable text",
    );
    let fits = (1..=CONTENT_BYTES_MAX).contains(&content.len());
    violations.check(fits, "content", "is not 1 byte to 1 MiB long");
}

pub(super) fn create_batch(
    principal: &Principal,
    request: &pb::CreateBatchRequest,
) -> Result<(RequestKey, NewBatch), Refusal> {
    let mut reader = Reader::new(
        "bekal.enrollment.v1.BatchService/CreateBatch",
        principal,
        request,
    );
    let key = reader.key(&request.request_id);
    reader.check(is_chosen_id(&request.batch_id), "batch_id", CHOSEN_ID);
    let Some(batch) = &request.batch else {
        reader.check(false, "batch", "is required");
        return reader.finish(None);
    };
    let scheme_id = reader.chosen("batch.scheme", &batch.scheme, "schemes");
    let randomness = randomness(&mut reader, batch);
    let quota_plan = quota_plan(&mut reader, batch.quota_plan.as_ref());
    let new = (|| {
        Some(NewBatch {
            id: request.batch_id.clone(),
            scheme_id: scheme_id?,
            quota_plan: quota_plan?,
            randomness: randomness?,
        })
    })();
    reader.finish(key.zip(new))
}

fn randomness<M: Message>(reader: &mut Reader<'_, M>, batch: &pb::Batch) -> Option<RandomnessPlan> {
    let count = batch.trustees.len();
    let least = usize::from(batch.beacon.is_none());
    reader.check(
        (least..=TRUSTEES_MAX).contains(&count),
        "batch.trustees",
        "does not have 1 to 16 names, or none with a beacon",
    );
    for (i, trustee) in batch.trustees.iter().enumerate() {
        let field = format!("batch.trustees[{i}]");
        reader.chosen(&field, trustee, "trustees");
        reader.check(
            !batch.trustees[..i].contains(trustee),
            &field,
            "stands twice",
        );
    }
    let quorum = match batch.quorum {
        0 => u8::try_from(count).ok(),
        quorum => u8::try_from(quorum)
            .ok()
            .filter(|quorum| usize::from(*quorum) <= count),
    };
    reader.check(
        quorum.is_some(),
        "batch.quorum",
        "is not 0 to the number of trustees",
    );
    let reveal_window = wait(
        reader,
        "batch.reveal_window",
        batch.reveal_window,
        REVEAL_WINDOW,
    );
    let beacon = match &batch.beacon {
        None => Some(None),
        Some(beacon) => self::beacon(reader, beacon).map(Some),
    };
    Some(RandomnessPlan {
        trustees: batch.trustees.clone(),
        quorum: quorum?,
        reveal_window: reveal_window?,
        beacon: beacon?,
    })
}

fn beacon<M: Message>(reader: &mut Reader<'_, M>, beacon: &pb::DrandBeacon) -> Option<Beacon> {
    let lead_time = wait(
        reader,
        "batch.beacon.lead_time",
        beacon.lead_time,
        BEACON_LEAD,
    );
    let chain = match (
        beacon.public_key.as_slice(),
        beacon.genesis_time,
        beacon.period,
    ) {
        ([], None, None) => Some(QUICKNET),
        (public_key, Some(genesis), Some(period)) => (|| {
            let period = u32::try_from(period.seconds)
                .ok()
                .filter(|_| period.nanos == 0);
            Some(DrandChain {
                public_key: public_key.try_into().ok()?,
                genesis_time: u64::try_from(genesis.seconds).ok()?,
                period_seconds: NonZeroU32::new(period?)?,
            })
        })(),
        _ => None,
    };
    reader.check(
        chain.is_some(),
        "batch.beacon",
        "is not a chain: a public key of 96 bytes, its first round's time and a period of whole seconds, or none of \
         these for quicknet",
    );
    Some(Beacon {
        chain: chain?,
        lead_time: lead_time?,
    })
}

/// Reads a time to wait, in whole seconds.
fn wait<M: Message>(
    reader: &mut Reader<'_, M>,
    field: &str,
    wait: Option<prost_types::Duration>,
    usual: Duration,
) -> Option<Duration> {
    let wait = match wait {
        None => Some(usual),
        Some(wait) => Some(Duration::seconds(wait.seconds)).filter(|_| wait.nanos == 0),
    };
    let wait = wait.filter(|wait| (WAIT_MIN..=WAIT_MAX).contains(wait));
    reader.check(
        wait.is_some(),
        field,
        "is not 60 seconds to 30 days in whole seconds",
    );
    wait
}

fn quota_plan<M: Message>(
    reader: &mut Reader<'_, M>,
    plan: Option<&pb::QuotaPlan>,
) -> Option<QuotaPlan> {
    let Some(plan) = plan else {
        reader.check(false, "batch.quota_plan", "is required");
        return None;
    };
    let region_rule = match pb::quota_plan::RegionRule::try_from(plan.region_rule) {
        Ok(pb::quota_plan::RegionRule::Unspecified | pb::quota_plan::RegionRule::None) => {
            Some(RegionRule::None)
        }
        Ok(pb::quota_plan::RegionRule::Fixed) => Some(RegionRule::Fixed),
        Ok(pb::quota_plan::RegionRule::Proportional) => Some(RegionRule::Proportional),
        Err(_) => None,
    };
    reader.check(
        region_rule.is_some(),
        "batch.quota_plan.region_rule",
        "is not a rule",
    );
    let group = |group: &pb::ReservedGroup| ReservedGroup {
        name: group.name.clone(),
        place_count: group.place_count,
        expression: group.expression.clone(),
    };
    let share = |share: &pb::RegionShare| RegionShare {
        region: share.region.clone(),
        weight: share.weight,
        floor: share.floor,
    };
    // Whether it adds up is checked together with the scheme's facts.
    Some(QuotaPlan {
        place_count: plan.place_count,
        reserved_groups: plan.reserved_groups.iter().map(group).collect(),
        region_rule: region_rule?,
        regions: plan.regions.iter().map(share).collect(),
    })
}

pub(super) fn record_completion(
    principal: &Principal,
    request: &pb::RecordCompletionRequest,
) -> Result<(RequestKey, Uuid, Evidence), Refusal> {
    let mut reader = Reader::new(
        "bekal.enrollment.v1.LearningService/RecordCompletion",
        principal,
        request,
    );
    let key = reader.key(&request.request_id);
    let purchase_id = reader.uuid("purchase", &request.purchase, "purchases");
    let Some(evidence) = &request.evidence else {
        reader.check(false, "evidence", "is required");
        return reader.finish(None);
    };
    for (field, value, most) in [
        (
            "evidence.attendance_permille",
            evidence.attendance_permille,
            1000,
        ),
        ("evidence.pre_test_score", evidence.pre_test_score, 100),
        ("evidence.post_test_score", evidence.post_test_score, 100),
    ] {
        reader.check(
            (0..=most).contains(&value),
            field,
            &format!("is not within 0 and {most}"),
        );
    }
    let uri = &evidence.practical_assignment_uri;
    let is_address = uri
        .strip_prefix("https://")
        .is_some_and(|rest| !rest.is_empty())
        && uri.len() <= 2_000
        && !uri.contains(|c: char| c.is_whitespace() || c.is_control());
    reader.check(
        is_address,
        "evidence.practical_assignment_uri",
        "is not an https address",
    );
    let feedback = evidence.trainer_feedback_time.as_ref().and_then(time_of);
    reader.check(
        feedback.is_some(),
        "evidence.trainer_feedback_time",
        "is not a time",
    );
    let read = (|| {
        let evidence = Evidence {
            attendance_permille: evidence.attendance_permille,
            pre_test_score: evidence.pre_test_score,
            post_test_score: evidence.post_test_score,
            practical_assignment_uri: uri.clone(),
            trainer_feedback_time: feedback?,
        };
        Some((key?, purchase_id?, evidence))
    })();
    reader.finish(read)
}

pub(super) fn create_review(
    principal: &Principal,
    request: &pb::CreateReviewRequest,
) -> Result<(RequestKey, Uuid, i32, String), Refusal> {
    let mut reader = Reader::new(
        "bekal.enrollment.v1.LearningService/CreateReview",
        principal,
        request,
    );
    let key = reader.key(&request.request_id);
    let certificate_id = reader.uuid("certificate", &request.certificate, "certificates");
    let Some(review) = &request.review else {
        reader.check(false, "review", "is required");
        return reader.finish(None);
    };
    reader.check(
        (1..=5).contains(&review.stars),
        "review.stars",
        "is not within 1 and 5",
    );
    let text = review.text.trim();
    let fits = (10..=2_000).contains(&text.chars().count());
    reader.check(fits, "review.text", "is not 10 to 2,000 characters long");
    let read = key
        .zip(certificate_id)
        .map(|(key, id)| (key, id, review.stars, text.to_owned()));
    reader.finish(read)
}

pub(super) fn create_appeal(
    principal: &Principal,
    request: &pb::CreateAppealRequest,
) -> Result<(RequestKey, NewAppeal), Refusal> {
    let mut reader = Reader::new(
        "bekal.enrollment.v1.AppealService/CreateAppeal",
        principal,
        request,
    );
    let key = reader.key(&request.request_id);
    let Some(appeal) = &request.appeal else {
        reader.check(false, "appeal", "is required");
        return reader.finish(None);
    };
    let target = match (appeal.application.as_str(), appeal.participation.as_str()) {
        (name, "") => {
            let id = reader.uuid("appeal.application", name, "applications");
            let stage = i16::try_from(appeal.decision_stage)
                .ok()
                .filter(|stage| *stage > 0);
            reader.check(stage.is_some(), "appeal.decision_stage", "is not a stage");
            id.zip(stage)
                .map(|(application_id, stage)| Target::Decision {
                    application_id,
                    stage,
                })
        }
        ("", name) => {
            let none = appeal.decision_stage == 0;
            reader.check(none, "appeal.decision_stage", "is for an application");
            let id = reader.uuid("appeal.participation", name, "participations");
            id.map(Target::Participation)
        }
        (_, _) => {
            reader.check(
                false,
                "appeal.participation",
                "stands beside an application",
            );
            None
        }
    };
    let ground = match pb::appeal::Ground::try_from(appeal.ground) {
        Ok(pb::appeal::Ground::ListWrong) => Some(Ground::ListWrong),
        Ok(pb::appeal::Ground::FactsWrong) => Some(Ground::FactsWrong),
        Ok(pb::appeal::Ground::FactsChanged) => Some(Ground::FactsChanged),
        Ok(pb::appeal::Ground::Unfounded) => Some(Ground::Unfounded),
        Ok(pb::appeal::Ground::Unspecified) | Err(_) => None,
    };
    reader.check(ground.is_some(), "appeal.ground", "is not a ground");
    let document_id = match appeal.document_id.as_str() {
        "" => Some(None),
        id => names::uuid(id).map(Some),
    };
    reader.check(document_id.is_some(), "appeal.document_id", "is not a UUID");
    let read = (|| {
        let new = NewAppeal {
            target: target?,
            ground: ground?,
            document_id: document_id?,
        };
        Some((key?, new))
    })();
    reader.finish(read)
}

/// How an appeal is to be resolved.
pub(super) struct ResolveAppeal {
    pub(super) key: RequestKey,
    pub(super) appeal_id: Uuid,
    pub(super) state: AppealState,
    pub(super) reason: String,
}

pub(super) fn resolve_appeal(
    principal: &Principal,
    request: &pb::ResolveAppealRequest,
) -> Result<ResolveAppeal, Refusal> {
    let mut reader = Reader::new(
        "bekal.enrollment.v1.AppealService/ResolveAppeal",
        principal,
        request,
    );
    let key = reader.key(&request.request_id);
    let appeal_id = reader.uuid("name", &request.name, "appeals");
    let state = match request.state() {
        pb::appeal::State::Granted => Some(AppealState::Granted),
        pb::appeal::State::Rejected => Some(AppealState::Rejected),
        pb::appeal::State::Unspecified | pb::appeal::State::Open => None,
    };
    reader.check(state.is_some(), "state", "is neither GRANTED nor REJECTED");
    let reason = reader.code("reason", &request.reason);
    let read = (|| {
        Some(ResolveAppeal {
            key: key?,
            appeal_id: appeal_id?,
            state: state?,
            reason: reason?,
        })
    })();
    reader.finish(read)
}

pub(super) fn create_campaign(
    principal: &Principal,
    request: &pb::CreateCampaignRequest,
) -> Result<(RequestKey, Campaign), Refusal> {
    let mut reader = Reader::new(
        "bekal.enrollment.v1.CampaignService/CreateCampaign",
        principal,
        request,
    );
    let key = reader.key(&request.request_id);
    reader.check(is_chosen_id(&request.campaign_id), "campaign_id", CHOSEN_ID);
    let Some(campaign) = &request.campaign else {
        reader.check(false, "campaign", "is required");
        return reader.finish(None);
    };
    let fits = (1..=200).contains(&campaign.display_name.trim().chars().count());
    reader.check(
        fits,
        "campaign.display_name",
        "is not 1 to 200 characters long",
    );
    let start = campaign.start_time.as_ref().and_then(time_of);
    let end = campaign.end_time.as_ref().and_then(time_of);
    reader.check(start.is_some(), "campaign.start_time", "is not a time");
    reader.check(end.is_some(), "campaign.end_time", "is not a time");
    if let Some((start, end)) = start.zip(end) {
        reader.check(start < end, "campaign.end_time", "is not after the start");
    }
    let is_age = (0..=150).contains(&campaign.age_min_years);
    reader.check(is_age, "campaign.age_min_years", "is not within 0 and 150");
    let read = (|| {
        let campaign = Campaign {
            id: request.campaign_id.clone(),
            display_name: campaign.display_name.trim().to_owned(),
            start_time: start?,
            end_time: end?,
            age_min_years: campaign.age_min_years,
            create_time: start?,
            voucher_count: 0,
        };
        Some((key?, campaign))
    })();
    reader.finish(read)
}

/// Reads a time with the precision that the database keeps.
fn time_of(timestamp: &Timestamp) -> Option<OffsetDateTime> {
    let nanos = u32::try_from(timestamp.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    let time = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    time.checked_add(Duration::microseconds(i64::from(nanos / 1_000)))
        .filter(|time| (1900..=9999).contains(&time.year()))
}
