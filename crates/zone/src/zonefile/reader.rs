//! Lines of a zone file: directives, and records with what they take over from the lines before.

use catena_core::{Class, RecordRef, Rtype};

use super::error::{Problem, ZoneError, shown};
use super::include::Include;
use super::lex::{Kind, Lexer, Token, unescape_into};
use super::name::NameBuf;
use super::time::seconds;
use super::{Options, Sink, generate, rdata};

/// How deep `$INCLUDE`s may be nested.
pub const INCLUDE_DEPTH_MAX: usize = 10;
/// How many files one zone may include, each counted as often as it is included.
pub const INCLUDE_FILES_MAX: usize = 10_000;

/// Reads a zone file and those that it includes.
pub(crate) struct Reader<'a, 's> {
    sink: &'a mut Sink<'s>,
    include: &'a dyn Include,
    origin: NameBuf,
    owner: NameBuf,
    /// Whether `owner` is one.
    has_owner: bool,
    /// What `$TTL` says.
    ttl_default: Option<u32>,
    /// The time to live of the record before.
    ttl_last: Option<u32>,
    class: Option<Class>,
    rdata: Vec<u8>,
    included: usize,
}

/// Why a file was left.
enum Stop {
    /// Something in it is wrong.
    Problem(Problem),
    /// Something in a file is wrong that it includes at this offset.
    Included(usize, ZoneError),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl<'a, 's> Reader<'a, 's> {
    pub(crate) fn new(options: &Options<'a>, sink: &'a mut Sink<'s>) -> Self {
        Self {
            sink,
            include: options.include,
            origin: NameBuf::of(options.origin),
            owner: NameBuf::of(&[0]),
            has_owner: false,
            ttl_default: options.ttl,
            ttl_last: None,
            class: options.class,
            rdata: Vec::new(),
            included: 0,
        }
    }

    /// Reads a file which is inside of so many others.
    pub(crate) fn file(&mut self, text: &[u8], file: &str, depth: usize) -> Result<(), ZoneError> {
        let mut lexer = Lexer::new(text);
        loop {
            self.line(&mut lexer, file, depth).map_err(|stop| stop.located(file, text))?;
            if !lexer.pass_line_end() {
                return Ok(());
            }
        }
    }

    /// Reads up to the first record.
    pub(crate) fn first(&mut self, text: &[u8], file: &str) -> Result<(), ZoneError> {
        let mut lexer = Lexer::new(text);
        loop {
            let found = self.line(&mut lexer, file, 0).map_err(|stop| stop.located(file, text))?;
            if found || !lexer.pass_line_end() {
                return Ok(());
            }
        }
    }

    /// Reads one line, without its end; tells whether it had records.
    fn line(&mut self, lexer: &mut Lexer<'_>, file: &str, depth: usize) -> Result<bool, Stop> {
        let first = lexer.peek();
        let token = lexer.next()?;
        match first {
            _ if token.is_end() => Ok(false),
            Some(b'$') => self.directive(lexer, &token, file, depth),
            _ => Ok(self.record(lexer, &token, matches!(first, Some(b' ' | b'\t'))).map(|()| true)?),
        }
    }

    fn directive(&mut self, lexer: &mut Lexer<'_>, token: &Token, file: &str, depth: usize) -> Result<bool, Stop> {
        let word = lexer.octets(token);
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("$INCLUDE") {
            return self.include(lexer, token, file, depth).map(|()| true);
        }
        if is("$GENERATE") {
            return Ok(generate::read(self, lexer, token).map(|()| true)?);
        }
        let value = lexer.next()?;
        if is("$ORIGIN") {
            self.origin = self.name(lexer, &value)?;
        } else if is("$TTL") {
            let text = lexer.octets(&value);
            let fault = || match value.is_end() {
                true => value.problem("a time in seconds or with units is missing"),
                false => value.problem(format!("'{}' is not a time in seconds or with units", shown(text))),
            };
            self.ttl_default = Some(seconds(text).ok_or_else(fault)?);
        } else {
            let message = format!("there is no directive '{}'; a name that begins so is written \\$...", shown(word));
            return Err(token.problem(message).into());
        }
        line_ends(lexer)?;
        Ok(false)
    }

    /// Reads a name that is not part of rdata. It may stand in quotes, as BIND has it.
    fn name(&self, lexer: &Lexer<'_>, token: &Token) -> Result<NameBuf, Problem> {
        if token.is_end() {
            return Err(token.problem("a name is missing"));
        }
        let mut name = NameBuf::of(&[0]);
        let read = name.read(lexer.octets(token), self.origin.wire());
        read.map_err(|message| token.problem(message))?;
        Ok(name)
    }

    fn include(&mut self, lexer: &mut Lexer<'_>, token: &Token, file: &str, depth: usize) -> Result<(), Stop> {
        let path_token = lexer.next()?;
        if path_token.is_end() {
            return Err(path_token.problem("the name of a file is missing").into());
        }
        let mut path = Vec::new();
        let read = unescape_into(lexer.octets(&path_token), path_token.escaped, &mut path);
        read.map_err(|message| path_token.problem(message))?;
        let origin_token = lexer.next()?;
        let origin = if origin_token.is_end() { self.origin.clone() } else { self.name(lexer, &origin_token)? };
        if !origin_token.is_end() {
            line_ends(lexer)?;
        }
        self.included += 1;
        if depth == INCLUDE_DEPTH_MAX {
            return Err(token.problem(format!("files are included more than {INCLUDE_DEPTH_MAX} deep")).into());
        }
        if self.included > INCLUDE_FILES_MAX {
            return Err(token.problem(format!("more than {INCLUDE_FILES_MAX} files are included")).into());
        }
        let included =
            self.include.read(&String::from_utf8_lossy(&path), file).map_err(|message| path_token.problem(message))?;
        let outer_origin = std::mem::replace(&mut self.origin, origin);
        let (outer_default, outer_last) = (self.ttl_default, self.ttl_last);
        let read = self.owner_kept(|reader| reader.file(&included.octets, &included.file, depth + 1));
        self.origin = outer_origin;
        (self.ttl_default, self.ttl_last) = (outer_default, outer_last);
        read.map_err(|error| Stop::Included(token.start, error))
    }

    /// Reads something; a line behind it that begins with a blank has the owner of the line before it.
    pub(crate) fn owner_kept<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let (owner, has_owner) = (self.owner.clone(), self.has_owner);
        let result = read(self);
        (self.owner, self.has_owner) = (owner, has_owner);
        result
    }

    /// Reads a record up to the end of its line. With `continues`, it has the owner of the record before, and `token` comes behind that.
    pub(crate) fn record(&mut self, lexer: &mut Lexer<'_>, token: &Token, continues: bool) -> Result<(), Problem> {
        let mut token = *token;
        if continues && !self.has_owner {
            return Err(token.problem("a line that begins with a blank needs an owner name in a line before it"));
        }
        if !continues {
            self.owner(lexer, &token)?;
            token = lexer.next()?;
        }
        let (ttl, class, token, rtype) = head(lexer, token)?;
        let class = self.class_of(class, &token)?;
        self.rdata.clear();
        rdata::read((rtype, class), &token, lexer, self.origin.wire(), &mut self.rdata)?;
        let ttl = self.ttl_of(ttl, rtype, &token)?;
        self.ttl_last = Some(ttl);
        let record = RecordRef { owner: self.owner.wire(), rtype, class, ttl, rdata: &self.rdata };
        (self.sink)(record).map_err(|message| token.problem(message))
    }

    fn owner(&mut self, lexer: &Lexer<'_>, token: &Token) -> Result<(), Problem> {
        let read = self.owner.read(lexer.octets(token), self.origin.wire());
        read.map_err(|message| token.problem(message))?;
        self.has_owner = true;
        Ok(())
    }

    /// The class of a record; all have the same (RFC 1035 section 5.2).
    fn class_of(&mut self, class: Option<(Token, Class)>, type_token: &Token) -> Result<Class, Problem> {
        let given = class.map_or(self.class.unwrap_or(Class::IN), |(_, class)| class);
        let wanted = *self.class.get_or_insert(given);
        if given == wanted {
            return Ok(given);
        }
        let place = class.map_or(*type_token, |(token, _)| token);
        Err(place.problem(format!("the other records are of class {wanted}")))
    }

    fn ttl_of(&mut self, given: Option<u32>, rtype: Rtype, place: &Token) -> Result<u32, Problem> {
        if let Some(ttl) = given.or(self.ttl_default).or(self.ttl_last) {
            return Ok(ttl);
        }
        // RFC 1035 section 3.3.13 has MINIMUM for that; as in BIND, it is the default from here on.
        let minimum = self.rdata.last_chunk::<4>().filter(|_| rtype == Rtype::SOA);
        self.ttl_default = minimum.map(|octets| u32::from_be_bytes(*octets));
        let message = "a time to live is missing: there is no $TTL, and no record before has one";
        self.ttl_default.ok_or_else(|| place.problem(message))
    }
}

impl Stop {
    fn located(self, file: &str, text: &[u8]) -> ZoneError {
        match self {
            Self::Problem(problem) => problem.located(file, text),
            Self::Included(at, error) => error.through(file, text, at),
        }
    }
}

/// What stands between an owner and rdata: perhaps a time to live and a class, in any order, and the type with its token.
type Head = (Option<u32>, Option<(Token, Class)>, Token, Rtype);

fn head(lexer: &mut Lexer<'_>, token: Token) -> Result<Head, Problem> {
    let mut token = token;
    let (mut ttl, mut class) = (None, None);
    loop {
        let word = lexer.octets(&token);
        match token.kind {
            Kind::Word => {}
            Kind::Quoted => return Err(token.problem("a type of records is not written in quotes")),
            Kind::End => return Err(token.problem("a type of records is missing")),
        }
        if ttl.is_none() && word.first().is_some_and(u8::is_ascii_digit) {
            let fault = || token.problem(format!("'{}' is not a time in seconds or with units", shown(word)));
            ttl = Some(seconds(word).ok_or_else(fault)?);
        } else if let Some(number) = rdata::class_number(word).filter(|_| class.is_none()) {
            class = Some((token, Class::from_int(number)));
        } else {
            let fault = || token.problem(format!("'{}' is not a type of records", shown(word)));
            let rtype = rdata::type_number(word).ok_or_else(fault)?;
            return Ok((ttl, class, token, Rtype::from_int(rtype)));
        }
        token = lexer.next()?;
    }
}

/// Checks that nothing follows on the line.
fn line_ends(lexer: &mut Lexer<'_>) -> Result<(), Problem> {
    let token = lexer.next()?;
    if token.is_end() { Ok(()) } else { Err(token.problem("this is too much for the directive")) }
}
