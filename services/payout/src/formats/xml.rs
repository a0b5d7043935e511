//! One pass over a file of ISO 20022: elements with their paths, and nothing that a bank has no use for.

use std::io::BufRead;

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

use super::{NOT_UTF_8, PIECE_BYTES_MAX, Pieces, Stop, TOO_LONG};

/// No element of a message lies deeper.
const DEPTH_MAX: usize = 32;

/// Who takes the elements. Paths are the local names from the root on, each behind a slash.
pub(super) trait Elements {
    /// An element begins.
    fn open(&mut self, line: u64, path: &str) -> Result<(), Stop>;

    /// An element ends. `text` is what it holds itself, `currency` its attribute `Ccy`.
    fn close(
        &mut self,
        line: u64,
        path: &str,
        text: &str,
        currency: Option<&str>,
    ) -> Result<(), Stop>;

    /// Something is wrong in the file.
    fn fault(&mut self, line: u64, what: &'static str);
}

/// Where the reading is.
struct Place<'e, E> {
    elements: &'e mut E,
    path: String,
    depth: usize,
    text: String,
    currency: Option<String>,
}

/// Reads a file to its end, and returns the number of its last line.
pub(super) fn walk<R: BufRead>(
    input: &mut Pieces<R>,
    elements: &mut impl Elements,
) -> Result<u64, Stop> {
    let mut place = Place {
        elements,
        path: String::new(),
        depth: 0,
        text: String::new(),
        currency: None,
    };
    let mut reader = Reader::from_reader(input);
    let mut buffer = Vec::new();
    loop {
        reader.get_mut().end_piece();
        buffer.clear();
        let event = reader.read_event_into(&mut buffer);
        let line = reader.get_ref().line;
        let event = match event {
            Ok(event) => event,
            Err(quick_xml::Error::Io(error)) => {
                return Err(Stop::Input(std::io::Error::other(error)));
            }
            Err(quick_xml::Error::Encoding(_)) => return Err(place.lost(line, NOT_UTF_8)),
            Err(_) => return Err(place.lost(line, "is not well-formed XML")),
        };
        match event {
            Event::Start(start) => place.open(line, &start)?,
            Event::Empty(start) => {
                place.open(line, &start)?;
                place.close(line)?;
            }
            Event::End(_) => place.close(line)?,
            Event::Text(text) => place.add(line, &text)?,
            Event::CData(text) => place.add(line, &text)?,
            Event::GeneralRef(entity) => match entity.resolve_char_ref() {
                Ok(Some(character)) => place.add(line, character.encode_utf8(&mut [0; 4]))?,
                _ => match quick_xml::escape::resolve_predefined_entity(&entity) {
                    Some(text) => place.add(line, text)?,
                    None => return Err(place.lost(line, "has an entity that is not defined")),
                },
            },
            // Entities of its own, and what they expand to, have no place in a message.
            Event::DocType(_) => return Err(place.lost(line, "has a document type")),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    let line = reader.get_ref().line;
    if place.depth > 0 {
        return Err(place.lost(line, "ends before its last element does"));
    }
    Ok(line)
}

impl<E: Elements> Place<'_, E> {
    fn lost(&mut self, line: u64, what: &'static str) -> Stop {
        self.elements.fault(line, what);
        Stop::Lost
    }

    fn open(&mut self, line: u64, start: &BytesStart<'_>) -> Result<(), Stop> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.lost(line, "has elements in elements more than 32 deep"));
        }
        self.path.push('/');
        self.path.push_str(start.local_name().as_ref());
        self.text.clear();
        self.currency = match start.try_get_attribute("Ccy") {
            Ok(attribute) => attribute
                .and_then(|attribute| attribute.normalized_value(XmlVersion::Implicit1_0).ok())
                .map(std::borrow::Cow::into_owned),
            Err(_) => return Err(self.lost(line, "has an attribute that is not well-formed")),
        };
        self.elements.open(line, &self.path)
    }

    /// Adds to the element's text, which may come in many pieces.
    fn add(&mut self, line: u64, text: &str) -> Result<(), Stop> {
        self.text.push_str(text);
        if u64::try_from(self.text.len()).unwrap_or(u64::MAX) > PIECE_BYTES_MAX {
            return Err(self.lost(line, TOO_LONG));
        }
        Ok(())
    }

    fn close(&mut self, line: u64) -> Result<(), Stop> {
        let text = std::mem::take(&mut self.text);
        let currency = self.currency.take();
        let read = self
            .elements
            .close(line, &self.path, text.trim(), currency.as_deref());
        // The end of the element's name is where the next one of the same depth begins.
        let parent = self.path.rfind('/').unwrap_or(0);
        self.path.truncate(parent);
        self.depth = self.depth.saturating_sub(1);
        read
    }
}
