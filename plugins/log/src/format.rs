//! A line's format, taken apart once. CoreDNS: plugin/pkg/replacer.

/// Something to be put into a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Type,
    Name,
    Class,
    Proto,
    Size,
    Remote,
    Port,
    Local,
    Id,
    Opcode,
    DnssecOk,
    BufSize,
    Rcode,
    ReplySize,
    Duration,
    ReplyFlags,
    /// A label of *metadata*.
    Metadata(Box<str>),
}

impl Label {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "{type}" => Self::Type,
            "{name}" => Self::Name,
            "{class}" => Self::Class,
            "{proto}" => Self::Proto,
            "{size}" => Self::Size,
            "{remote}" => Self::Remote,
            "{port}" => Self::Port,
            "{local}" => Self::Local,
            "{>id}" => Self::Id,
            "{>opcode}" => Self::Opcode,
            "{>do}" => Self::DnssecOk,
            "{>bufsize}" => Self::BufSize,
            "{rcode}" => Self::Rcode,
            "{rsize}" => Self::ReplySize,
            "{duration}" => Self::Duration,
            "{>rflags}" => Self::ReplyFlags,
            _ => Self::Metadata(text.strip_prefix("{/")?.strip_suffix('}')?.into()),
        })
    }
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text as it stands.
    Text(String),
    /// A value.
    Value(Label),
}

/// The parts of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Format(Vec<Piece>);

impl Format {
    /// Takes a format apart. What stands in braces and is no label stays as it is.
    pub(crate) fn parse(mut text: &str) -> Self {
        let mut format = Self::default();
        while let Some(close) = text.find('}') {
            let (upto, rest) = text.split_at(close + 1);
            // The nearest brace counts, so that the inner pair of `{ {name} }` is the label.
            match upto.rfind('{').map(|open| (open, Label::of(&upto[open..]))) {
                Some((open, Some(label))) => {
                    format.text(&upto[..open]);
                    format.0.push(Piece::Value(label));
                }
                _ => format.text(upto),
            }
            text = rest;
        }
        format.text(text);
        format
    }

    fn text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(before)) => before.push_str(text),
            _ => self.0.push(Piece::Text(text.to_owned())),
        }
    }

    /// The labels of *metadata* in it.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Value(Label::Metadata(label)) => Some(&**label),
            _ => None,
        })
    }

    /// The parts, in order.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    #[test]
    fn labels_and_the_text_between_them_are_parts() {
        let format = Format::parse("{name} is {>do}");
        assert_eq!(format.pieces(), [Piece::Value(Label::Name), text(" is "), Piece::Value(Label::DnssecOk)]);
    }

    #[test]
    fn the_inner_braces_are_the_label() {
        assert_eq!(Format::parse("{ {rcode} }").pieces(), [text("{ "), Piece::Value(Label::Rcode), text(" }")]);
    }

    #[test]
    fn what_is_no_label_stays() {
        assert_eq!(Format::parse("a } {Name} {>x").pieces(), [text("a } {Name} {>x")]);
    }

    #[test]
    fn a_metadata_label_is_a_value() {
        let format = Format::parse("{/a/b} {name}{/c}");
        assert_eq!(format.pieces()[0], Piece::Value(Label::Metadata("a/b".into())));
        assert_eq!(format.labels().collect::<Vec<_>>(), ["a/b", "c"]);
    }
}
