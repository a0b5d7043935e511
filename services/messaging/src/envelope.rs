//! The envelope of an event and its form on the wire: CloudEvents 1.0, AMQP binding, binary mode.
//!
//! Each attribute is a header `cloudEvents:<name>`; `cloudEvents_<name>`, which later texts of the binding prefer, is
//! understood as well. `datacontenttype` is the content type of the message, the body is the protobuf message.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, LongString},
};
use prost::{Message, Name};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::HandleError;

const CONTENT_TYPE: &str = "application/protobuf";
const SPEC_VERSION: &str = "1.0";
const PREFIX: &str = "cloudEvents:";
const PREFIX_OF_OTHERS: &str = "cloudEvents_";
/// AMQP's number for "write it to disk".
const PERSISTENT: u8 = 2;

/// Something that happened, as it travels.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The same on every copy of the event; the inbox knows it by this.
    pub id: Uuid,
    /// Full name of the protobuf message in the body.
    pub r#type: String,
    /// The service that tells it, as `/enrollment`.
    pub source: String,
    /// Name of the resource that it is about; order holds within a subject.
    pub subject: String,
    /// When it happened, by the clock of the service that tells it.
    pub time: OffsetDateTime,
    /// The trace in which it happened (W3C).
    pub traceparent: Option<String>,
    /// The protobuf message.
    pub body: Vec<u8>,
}

/// Why a message is not an event of ours.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum EventError {
    /// An attribute that every event has is not there.
    #[error("the attribute {0} is missing")]
    Missing(&'static str),
    /// An attribute cannot be read.
    #[error("the attribute {0} is malformed")]
    Malformed(&'static str),
    /// The body is something else.
    #[error("the body is not application/protobuf")]
    ContentType,
}

impl Event {
    /// Makes an event with a fresh id, for the tests of handlers; a service tells events through the outbox only.
    pub fn of<M: Message + Name>(subject: &str, time: OffsetDateTime, message: &M) -> Event {
        Event {
            id: Uuid::now_v7(),
            r#type: M::full_name(),
            source: source_of("test"),
            subject: subject.to_owned(),
            time,
            traceparent: None,
            body: message.encode_to_vec(),
        }
    }

    /// Says whether the body is an `M`.
    pub fn is<M: Name>(&self) -> bool {
        self.r#type == M::full_name()
    }

    /// Reads the body.
    ///
    /// # Errors
    /// `Reject` when the body is of another type or damaged.
    pub fn decode<M: Message + Name + Default>(&self) -> Result<M, HandleError> {
        if !self.is::<M>() {
            return Err(HandleError::Reject(format!(
                "{} was read as {}",
                self.r#type,
                M::full_name()
            )));
        }
        M::decode(self.body.as_slice()).map_err(|error| {
            HandleError::Reject(format!("the body of {} is damaged: {error}", self.r#type))
        })
    }

    /// Returns what goes into the message beside the body.
    pub(crate) fn to_properties(&self) -> BasicProperties {
        let mut headers = FieldTable::default();
        let mut set = |name: &str, value: &str| {
            headers.insert(
                format!("{PREFIX}{name}").into(),
                AMQPValue::LongString(value.into()),
            );
        };
        set("specversion", SPEC_VERSION);
        set("id", &self.id.to_string());
        set("type", &self.r#type);
        set("source", &self.source);
        set("subject", &self.subject);
        set("time", &text_of(self.time));
        if let Some(traceparent) = &self.traceparent {
            set("traceparent", traceparent);
        }
        BasicProperties::default()
            .with_content_type(CONTENT_TYPE.into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(self.id.to_string().into())
            .with_headers(headers)
    }

    /// Reads a message.
    pub(crate) fn from_message(
        properties: &BasicProperties,
        body: &[u8],
    ) -> Result<Event, EventError> {
        let empty = FieldTable::default();
        let headers = properties.headers().as_ref().unwrap_or(&empty);
        if text(headers, "specversion")? != SPEC_VERSION {
            return Err(EventError::Malformed("specversion"));
        }
        if properties
            .content_type()
            .as_ref()
            .is_none_or(|it| it.as_str() != CONTENT_TYPE)
        {
            return Err(EventError::ContentType);
        }
        Ok(Event {
            id: text(headers, "id")?
                .parse()
                .map_err(|_| EventError::Malformed("id"))?,
            r#type: text(headers, "type")?,
            source: text(headers, "source")?,
            subject: text(headers, "subject")?,
            time: time(headers)?,
            traceparent: text(headers, "traceparent").ok(),
            body: body.to_vec(),
        })
    }
}

/// Returns the `source` of what a service tells.
pub(crate) fn source_of(service: &str) -> String {
    format!("/{service}")
}

/// Writes a time as the attributes and our own headers carry it.
pub(crate) fn text_of(time: OffsetDateTime) -> String {
    time.format(&Rfc3339)
        .expect("a time of the years 0 to 9999 can be written")
}

fn attribute<'a>(headers: &'a FieldTable, name: &'static str) -> Result<&'a AMQPValue, EventError> {
    let headers = headers.inner();
    headers
        .get(format!("{PREFIX}{name}").as_str())
        .or_else(|| headers.get(format!("{PREFIX_OF_OTHERS}{name}").as_str()))
        .ok_or(EventError::Missing(name))
}

fn text(headers: &FieldTable, name: &'static str) -> Result<String, EventError> {
    attribute(headers, name)?
        .as_long_string()
        .and_then(text_in)
        .filter(|value| !value.is_empty())
        .ok_or(EventError::Malformed(name))
}

// The binding asks a reader to take the AMQP timestamp (whole seconds) and the text alike.
fn time(headers: &FieldTable) -> Result<OffsetDateTime, EventError> {
    let malformed = EventError::Malformed("time");
    if let Some(seconds) = attribute(headers, "time")?.as_timestamp() {
        let seconds = i64::try_from(seconds).ok();
        return seconds
            .and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok())
            .ok_or(malformed);
    }
    OffsetDateTime::parse(&text(headers, "time")?, &Rfc3339).map_err(|_| malformed)
}

/// Reads a header's text.
pub(crate) fn text_in(value: &LongString) -> Option<String> {
    String::from_utf8(value.as_bytes().to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn an_event() -> Event {
        Event {
            id: Uuid::from_u128(7),
            r#type: "bekal.test.v1.Happened".to_owned(),
            source: "/test".to_owned(),
            subject: "things/1".to_owned(),
            time: datetime!(2026-11-24 10:00:00.123456 UTC),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            body: vec![1, 2, 3],
        }
    }

    fn with(properties: &BasicProperties, name: &str, value: Option<AMQPValue>) -> BasicProperties {
        let mut headers = properties.headers().as_ref().unwrap().inner().clone();
        headers.remove(name);
        if let Some(value) = value {
            headers.insert(name.into(), value);
        }
        properties.clone().with_headers(headers.into())
    }

    #[test]
    fn an_event_survives_the_wire() {
        let event = an_event();

        let read = Event::from_message(&event.to_properties(), &event.body);

        assert_eq!(read, Ok(event));
    }

    #[test]
    fn the_attributes_are_named_as_the_binding_says() {
        let properties = an_event().to_properties();

        let headers = properties.headers().as_ref().unwrap().inner();
        let names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();

        assert_eq!(
            names,
            [
                "cloudEvents:id",
                "cloudEvents:source",
                "cloudEvents:specversion",
                "cloudEvents:subject",
                "cloudEvents:time",
                "cloudEvents:traceparent",
                "cloudEvents:type"
            ]
        );
        assert_eq!(
            properties.content_type().as_ref().unwrap().as_str(),
            "application/protobuf"
        );
    }

    #[test]
    fn the_other_separator_and_a_native_timestamp_are_understood() {
        let event = an_event();
        let headers = event.to_properties().headers().clone().unwrap();
        let headers: std::collections::BTreeMap<_, _> = headers
            .inner()
            .iter()
            .map(|(name, value)| (name.as_str().replace(':', "_").into(), value.clone()))
            .collect();
        let properties = event.to_properties().with_headers(headers.into());
        let properties = with(
            &properties,
            "cloudEvents_time",
            Some(AMQPValue::Timestamp(1_764_000_000)),
        );

        let read = Event::from_message(&properties, &event.body).unwrap();

        assert_eq!(read.id, event.id);
        assert_eq!(read.time, datetime!(2025-11-24 16:00:00 UTC));
    }

    #[test]
    fn what_lacks_an_attribute_is_no_event() {
        let event = an_event();
        let properties = event.to_properties();

        for name in ["specversion", "id", "type", "source", "subject", "time"] {
            let properties = with(&properties, &format!("cloudEvents:{name}"), None);
            assert_eq!(
                Event::from_message(&properties, &event.body),
                Err(EventError::Missing(name))
            );
        }
        let properties = with(
            &properties,
            "cloudEvents:id",
            Some(AMQPValue::LongString("7".into())),
        );
        assert_eq!(
            Event::from_message(&properties, &event.body),
            Err(EventError::Malformed("id"))
        );
    }
}
