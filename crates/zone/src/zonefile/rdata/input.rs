//! Reading fields.

use super::super::codec::{self, Bits};
use super::super::error::{Problem, shown};
use super::super::lex::{Kind, Lexer, Token, unescape_into};
use super::super::name::NameBuf;
use super::super::time::{moment, number, seconds};
use super::{Field, RDATA_OCTETS_MAX, bitmap, codes, type_number};

/// The words of a line behind the type, and the rdata that is made of them.
pub(crate) struct Input<'a, 't> {
    lexer: &'a mut Lexer<'t>,
    origin: &'a [u8],
    pub(crate) out: &'a mut Vec<u8>,
    /// The token that comes next.
    ahead: Token,
    /// Where the line's rdata begins.
    first: Token,
}

impl<'a, 't> Input<'a, 't> {
    pub(crate) fn new(lexer: &'a mut Lexer<'t>, origin: &'a [u8], out: &'a mut Vec<u8>) -> Result<Self, Problem> {
        let ahead = lexer.next()?;
        Ok(Self { lexer, origin, out, ahead, first: ahead })
    }

    /// The token that comes next, without taking it.
    pub(crate) fn peek(&self) -> &Token {
        &self.ahead
    }

    /// Takes what comes next, whatever it is.
    pub(crate) fn take(&mut self) -> Result<Token, Problem> {
        let token = self.ahead;
        self.ahead = self.lexer.next()?;
        Ok(token)
    }

    /// The octets of a token, escapes and all.
    pub(crate) fn octets(&self, token: &Token) -> &'t [u8] {
        self.lexer.octets(token)
    }

    /// Takes a word, which is called `what` if it is not there.
    pub(crate) fn word(&mut self, what: &str) -> Result<(Token, &'t [u8]), Problem> {
        let token = self.ahead;
        match token.kind {
            Kind::Word => {
                self.ahead = self.lexer.next()?;
                Ok((token, self.lexer.octets(&token)))
            }
            Kind::Quoted => Err(token.problem(format!("{what} is not written in quotes"))),
            Kind::End => Err(token.problem(format!("{what} is missing"))),
        }
    }

    /// Takes a word and gives it to `read`.
    pub(crate) fn word_as<T>(&mut self, what: &str, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, Problem> {
        let (token, text) = self.word(what)?;
        read(text).ok_or_else(|| token.problem(format!("'{}' is not {what}", shown(text))))
    }

    /// Takes a decimal number.
    pub(crate) fn number(&mut self, max: u64) -> Result<u64, Problem> {
        let (token, text) = self.word("a number")?;
        let message = || format!("'{}' is not a number from 0 to {max}", shown(text));
        number(text, max).ok_or_else(|| token.problem(message()))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Problem> {
        Ok(self.number(u8::MAX.into())?.to_le_bytes()[0])
    }

    pub(crate) fn u16(&mut self) -> Result<(), Problem> {
        let value = self.number(u16::MAX.into())?;
        self.put_low(value, 2);
        Ok(())
    }

    /// Appends the low octets of a number, in network order.
    fn put_low(&mut self, value: u64, octets: usize) {
        let all = value.to_be_bytes();
        self.out.extend_from_slice(all.get(8 - octets..).unwrap_or_default());
    }

    pub(crate) fn name(&mut self) -> Result<(), Problem> {
        let (token, text) = self.word("a name")?;
        let mut name = NameBuf::of(&[0]);
        name.read(text, self.origin).map_err(|message| token.problem(message))?;
        self.out.extend_from_slice(name.wire());
        Ok(())
    }

    /// Takes a word or a quoted string and appends it without its escapes.
    pub(crate) fn string(&mut self, what: &str) -> Result<Token, Problem> {
        if self.ahead.is_end() {
            return Err(self.ahead.problem(format!("{what} is missing")));
        }
        let token = self.take()?;
        unescape_into(self.octets(&token), token.escaped, self.out).map_err(|message| token.problem(message))?;
        Ok(token)
    }

    /// Takes a character-string; a longer one is an error, or becomes several.
    fn text(&mut self, may_split: bool) -> Result<(), Problem> {
        let start = self.out.len();
        self.out.push(0);
        let token = self.string("a string")?;
        let len = self.out.len() - start - 1;
        if let Ok(len) = u8::try_from(len) {
            self.out[start] = len;
            return Ok(());
        }
        if !may_split {
            return Err(token.problem("a string is longer than 255 octets"));
        }
        let long = self.out.split_off(start + 1);
        self.out.truncate(start);
        for part in long.chunks(255) {
            self.out.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            self.out.extend_from_slice(part);
        }
        Ok(())
    }

    fn texts(&mut self) -> Result<(), Problem> {
        self.text(true)?;
        while !self.ahead.is_end() {
            self.text(true)?;
            self.check_len()?;
        }
        Ok(())
    }

    fn tag(&mut self) -> Result<(), Problem> {
        let what = "a tag of letters and digits";
        let fits = |text: &[u8]| (1..=255).contains(&text.len()) && text.iter().all(u8::is_ascii_alphanumeric);
        let (token, text) = self.word(what)?;
        let len = u8::try_from(text.len()).ok().filter(|_| fits(text));
        self.out.push(len.ok_or_else(|| token.problem(format!("'{}' is not {what}", shown(text))))?);
        self.out.extend_from_slice(text);
        Ok(())
    }

    /// Takes the words up to the end of the line as base 16.
    pub(crate) fn hex(&mut self) -> Result<(), Problem> {
        let mut bits = Bits::default();
        let mut last = self.ahead;
        while !self.ahead.is_end() {
            let (token, text) = self.word("base 16")?;
            bits.hex(text, self.out).map_err(|message| token.problem(message))?;
            self.check_len()?;
            last = token;
        }
        bits.end_hex().map_err(|message| last.problem(message))?;
        self.not_empty(&bits, "base 16")
    }

    /// Takes the words up to the end of the line as base 64.
    pub(crate) fn base64(&mut self, may_be_empty: bool) -> Result<(), Problem> {
        let mut bits = Bits::default();
        let mut last = self.ahead;
        while !self.ahead.is_end() {
            let (token, text) = self.word("base 64")?;
            bits.base64(text, self.out).map_err(|message| token.problem(message))?;
            self.check_len()?;
            last = token;
        }
        bits.end_base64().map_err(|message| last.problem(message))?;
        if may_be_empty { Ok(()) } else { self.not_empty(&bits, "base 64") }
    }

    fn not_empty(&self, bits: &Bits, what: &str) -> Result<(), Problem> {
        if bits.is_empty() { Err(self.ahead.problem(format!("{what} is missing"))) } else { Ok(()) }
    }

    /// Takes one word of base 16 into `out`.
    pub(crate) fn hex_word(&mut self) -> Result<(Token, Vec<u8>), Problem> {
        let (token, text) = self.word("base 16")?;
        let (mut bits, mut octets) = (Bits::default(), Vec::new());
        let read = bits.hex(text, &mut octets).and_then(|()| bits.end_hex());
        read.map_err(|message| token.problem(message))?;
        Ok((token, octets))
    }

    /// Appends octets with their length before them.
    fn with_len(&mut self, token: &Token, octets: &[u8]) -> Result<(), Problem> {
        let len = u8::try_from(octets.len()).map_err(|_| token.problem("more than 255 octets"))?;
        self.out.push(len);
        self.out.extend_from_slice(octets);
        Ok(())
    }

    fn salt(&mut self) -> Result<(), Problem> {
        if self.octets(&self.ahead) == b"-" {
            self.out.push(0);
            return self.take().map(|_| ());
        }
        let (token, octets) = self.hex_word()?;
        self.with_len(&token, &octets)
    }

    fn hash32(&mut self) -> Result<(), Problem> {
        let (token, text) = self.word("base 32")?;
        let mut octets = Vec::new();
        codec::base32(text, &mut octets).map_err(|message| token.problem(message))?;
        self.with_len(&token, &octets)
    }

    fn hex_dotted(&mut self) -> Result<(), Problem> {
        let octets = self.word_as("base 16 with 0x before it", |text| {
            let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
            let digits: Vec<u8> = digits.iter().copied().filter(|&octet| octet != b'.').collect();
            let (mut bits, mut octets) = (Bits::default(), Vec::new());
            bits.hex(&digits, &mut octets).and_then(|()| bits.end_hex()).ok()?;
            (!octets.is_empty()).then_some(octets)
        })?;
        self.out.extend_from_slice(&octets);
        Ok(())
    }

    fn code(&mut self, codes: &codes::Codes, octets: usize) -> Result<(), Problem> {
        let max = if octets == 1 { u8::MAX.into() } else { u16::MAX };
        let value = self.word_as("a known name or a number", |text| codes::read(codes, text, max))?;
        self.put_low(value.into(), octets);
        Ok(())
    }

    /// Takes a field.
    pub(crate) fn field(&mut self, field: Field) -> Result<(), Problem> {
        match field {
            Field::U8 => self.u8().map(|value| self.out.push(value)),
            Field::U16 => self.u16(),
            Field::U32 => self.number(u32::MAX.into()).map(|value| self.put_low(value, 4)),
            Field::U64 => self.number(u64::MAX).map(|value| self.put_low(value, 8)),
            Field::Seconds => {
                self.word_as("a time in seconds or with units", seconds).map(|value| self.put_low(value.into(), 4))
            }
            Field::Moment => {
                self.word_as("a time as YYYYMMDDHHmmSS", moment).map(|value| self.put_low(value.into(), 4))
            }
            Field::Octal16 => {
                self.word_as("an octal number of 16 bits", octal).map(|value| self.put_low(value.into(), 2))
            }
            Field::Name => self.name(),
            Field::Names => self.names(),
            Field::Ipv4 => {
                self.word_as("an IPv4 address", codec::ipv4).map(|octets| self.out.extend_from_slice(&octets))
            }
            Field::Ipv6 => {
                self.word_as("an IPv6 address", codec::ipv6).map(|octets| self.out.extend_from_slice(&octets))
            }
            Field::Text => self.text(false),
            Field::TextOptional if self.ahead.is_end() => Ok(()),
            Field::TextOptional => self.text(false),
            Field::Texts => self.texts(),
            Field::Tag => self.tag(),
            Field::TextRest => self.string("a string").map(|_| ()),
            Field::Hex => self.hex(),
            Field::HexDotted => self.hex_dotted(),
            Field::Salt => self.salt(),
            Field::Hash32 => self.hash32(),
            Field::Base64 => self.base64(false),
            Field::Base64Optional => self.base64(true),
            Field::Base64Dash if self.octets(&self.ahead) == b"-" => self.take().map(|_| ()),
            Field::Base64Dash => self.base64(false),
            Field::Type => self.word_as("a type of records", type_number).map(|value| self.put_low(value.into(), 2)),
            Field::Types => bitmap::read(self),
            Field::TypesOld => bitmap::read_old(self),
            Field::Code8(codes) => self.code(codes, 1),
            Field::Code16(codes) => self.code(codes, 2),
            Field::Eui(pairs) => self
                .word_as("an EUI with hyphens", |text| codec::eui(text, pairs))
                .map(|octets| self.out.extend_from_slice(&octets)),
            Field::Locator => self
                .word_as("four groups of up to four hexadecimal digits", codec::locator)
                .map(|octets| self.out.extend_from_slice(&octets)),
            Field::Special(special) => (special.read)(self),
        }
    }

    fn names(&mut self) -> Result<(), Problem> {
        while !self.ahead.is_end() {
            self.name()?;
            self.check_len()?;
        }
        Ok(())
    }

    /// Whether RFC 3597's sign comes next, which is taken then.
    pub(crate) fn takes_generic_sign(&mut self) -> Result<bool, Problem> {
        let found = self.ahead.kind == Kind::Word && self.octets(&self.ahead) == br"\#";
        if found {
            self.take()?;
        }
        Ok(found)
    }

    /// Takes a length and so many octets in base 16 (RFC 3597 section 5). Gives the token to blame if they do not fit the type.
    pub(crate) fn generic(&mut self) -> Result<Token, Problem> {
        let place = self.ahead;
        let len = self.number(u16::MAX.into())?;
        if !self.ahead.is_end() || len > 0 {
            self.hex()?;
        }
        if u64::try_from(self.out.len()) != Ok(len) {
            return Err(place.problem(format!("{} octets follow, not {len}", self.out.len())));
        }
        Ok(place)
    }

    /// Checks that the rdata is not too long already.
    pub(crate) fn check_len(&self) -> Result<(), Problem> {
        if self.out.len() > RDATA_OCTETS_MAX {
            return Err(self.first.problem(format!("rdata is longer than {RDATA_OCTETS_MAX} octets")));
        }
        Ok(())
    }

    /// Checks that the line ends here.
    pub(crate) fn end(&mut self) -> Result<(), Problem> {
        if self.ahead.is_end() { Ok(()) } else { Err(self.ahead.problem("this is too much for the record")) }
    }
}

fn octal(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()))?;
    u16::from_str_radix(text, 8).ok()
}
