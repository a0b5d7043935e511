//! Resource names (`accounts/{account}`) and the ids in them.

use std::fmt::Display;

use uuid::Uuid;

/// The longest id that a name may hold.
const ID_BYTES_MAX: usize = 100;

/// Returns the id in a name of this collection: `parse("batches/48", "batches")` is `48`.
pub fn parse<'a>(name: &'a str, collection: &str) -> Option<&'a str> {
    split(name, [collection]).map(|[id]| id)
}

/// Returns the UUID in a name of this collection. Only the canonical spelling counts, so that a name has one form.
pub fn parse_uuid(name: &str, collection: &str) -> Option<Uuid> {
    uuid(parse(name, collection)?)
}

/// Returns the ids in a nested name: `split("batches/48/draws/1", ["batches", "draws"])` is `["48", "1"]`.
pub fn split<'a, const N: usize>(name: &'a str, collections: [&str; N]) -> Option<[&'a str; N]> {
    let mut segments = name.split('/');
    let mut ids = [""; N];
    for (id, collection) in ids.iter_mut().zip(collections) {
        if segments.next()? != collection {
            return None;
        }
        *id = segments.next().filter(|segment| is_id(segment))?;
    }
    segments.next().is_none().then_some(ids)
}

/// Returns the UUID that an id spells canonically.
pub fn uuid(id: &str) -> Option<Uuid> {
    let parsed = Uuid::try_parse(id).ok()?;
    (parsed.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == id).then_some(parsed)
}

/// Makes a name: `format("batches", 48)` is `batches/48`.
pub fn format(collection: &str, id: impl Display) -> String {
    format!("{collection}/{id}")
}

fn is_id(segment: &str) -> bool {
    !segment.is_empty()
        && segment.len() <= ID_BYTES_MAX
        && segment
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_id() {
        assert_eq!(parse("batches/48", "batches"), Some("48"));
        assert_eq!(format("batches", 48), "batches/48");
        assert_eq!(
            split("batches/48/draws/a-1", ["batches", "draws"]),
            Some(["48", "a-1"])
        );
    }

    #[test]
    fn what_is_not_a_name_of_the_collection_is_refused() {
        let long = format!("batches/{}", "x".repeat(101));
        for name in [
            "",
            "batches",
            "batches/",
            "courses/48",
            "batches/48/",
            "batches/48/draws/1",
            "/batches/48",
            "batches/4 8",
            "batches/é",
            &long,
        ] {
            assert_eq!(parse(name, "batches"), None, "{name}");
        }
    }

    #[test]
    fn a_uuid_has_one_spelling() {
        let id = Uuid::from_u128(0xabcd_0000_0000_4000_8000_0000_0000_0001);

        assert_eq!(parse_uuid(&format("accounts", id), "accounts"), Some(id));
        let shouted = format("accounts", id.to_string().to_uppercase());
        assert_eq!(parse_uuid(&shouted, "accounts"), None);
        assert_eq!(
            parse_uuid(&format("accounts", id.simple()), "accounts"),
            None
        );
    }
}
