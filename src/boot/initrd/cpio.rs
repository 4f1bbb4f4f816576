//! Cpio archives in the form "newc" (cpio(5)), taken piece by piece as Linux takes them (`init/initramfs.c`).

const HEADER: usize = 110;
/// Linux's PATH_MAX: a kernel skips an entry with a longer name.
const NAME_LIMIT: u64 = 4096;
const TRAILER: &[u8] = b"TRAILER!!!\0";
/// What headers, names and contents are padded to, and where archives begin.
const ALIGNMENT: u64 = 4;

/// What is wrong with an archive.
pub(super) type Fault = &'static str;

/// The archives of one part of an initrd, of which some bytes were seen.
pub(super) struct Archives {
    state: State,
    /// How many bytes were taken, from where an offset counts.
    at: u64,
    /// Whether the last whole entry was a trailer; at the very beginning, whether none is needed.
    trailed: bool,
}

enum State {
    /// Nothing was seen: an entry must come.
    Begin,
    /// Between entries, or behind a trailer: zero bytes or an entry.
    Between,
    /// In an entry's header, or in its name as far as that can be a trailer's.
    Head(Vec<u8>),
    /// In what is left of an entry.
    Rest(u64),
}

impl Archives {
    /// The first part of an initrd has to hold an archive.
    pub(super) fn first() -> Self {
        Self::from(State::Begin, 0)
    }

    /// A part behind others may hold zero bytes only, or nothing; its offsets count from here.
    pub(super) fn behind_others(at: u64) -> Self {
        Self::from(State::Between, at)
    }

    fn from(state: State, at: u64) -> Self {
        let trailed = matches!(state, State::Between);
        Self { state, at, trailed }
    }

    /// Takes the next bytes. Returns how many: those from there on belong to no archive.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut taken = 0;
        while taken < bytes.len() {
            let left = &bytes[taken..];
            let count = match &mut self.state {
                State::Begin => self.begin(left[0])?,
                State::Between => match left.iter().take_while(|byte| **byte == 0).count() {
                    0 if !self.at.is_multiple_of(ALIGNMENT) => {
                        return Err("something begins at an offset that is not a multiple of 4");
                    }
                    0 if left[0] == b'0' => self.begin(left[0])?,
                    0 => break,
                    zeros => zeros,
                },
                State::Head(head) => {
                    let count = (wanted(head)? - head.len()).min(left.len());
                    head.extend_from_slice(&left[..count]);
                    if head.len() == wanted(head)? {
                        self.trailed = head[HEADER..].starts_with(TRAILER);
                        self.state = rest(head)?;
                    }
                    count
                }
                State::Rest(rest) => {
                    let count = usize::try_from(*rest).unwrap_or(usize::MAX).min(left.len());
                    *rest -= count as u64;
                    if *rest == 0 {
                        self.state = State::Between;
                    }
                    count
                }
            };
            taken += count;
            self.at += count as u64;
        }
        Ok(taken)
    }

    /// An entry begins here; nothing is taken yet.
    fn begin(&mut self, first: u8) -> Result<usize, Fault> {
        if first != b'0' {
            return Err(NO_ARCHIVE);
        }
        self.state = State::Head(Vec::with_capacity(HEADER + TRAILER.len()));
        Ok(0)
    }

    /// Whether the archives are whole. Linux unpacks an archive without a trailer, too; what has none was cut.
    pub(super) fn are_whole(&self) -> bool {
        matches!(self.state, State::Between) && self.trailed
    }

    /// Whether there is none.
    pub(super) fn are_none(&self) -> bool {
        matches!(self.state, State::Begin)
    }
}

/// What a part is that begins with something else.
pub(super) const NO_ARCHIVE: Fault = "there is no cpio archive in it";

/// How many bytes of an entry tell what it is.
fn wanted(head: &[u8]) -> Result<usize, Fault> {
    let magic = head.len().min(6);
    if !b"070701".starts_with(&head[..magic]) && !b"070702".starts_with(&head[..magic]) {
        return Err(if b"070707".starts_with(&head[..magic]) {
            "its cpio archive is in an old format, not \"newc\""
        } else {
            "an entry of its cpio archive does not begin where the last one ends"
        });
    }
    if head.len() < HEADER {
        return Ok(HEADER);
    }
    let name = name_size(head)?;
    Ok(HEADER
        + TRAILER
            .len()
            .min(usize::try_from(name).unwrap_or(usize::MAX)))
}

fn name_size(head: &[u8]) -> Result<u64, Fault> {
    let size = field(head, 11)?;
    if !(1..=NAME_LIMIT).contains(&size) {
        return Err("an entry of its cpio archive has no name, or an invalid one");
    }
    Ok(size)
}

/// What follows the part of an entry that was looked at: the name's rest, the contents, and what pads each.
fn rest(head: &[u8]) -> Result<State, Fault> {
    let name_ends = HEADER as u64 + name_size(head)?;
    let ends = name_ends.next_multiple_of(ALIGNMENT) + field(head, 6)?;
    let rest = ends.next_multiple_of(ALIGNMENT) - head.len() as u64;
    Ok(match rest {
        0 => State::Between,
        rest => State::Rest(rest),
    })
}

/// The n-th field after the magic: eight hexadecimal digits.
fn field(head: &[u8], n: usize) -> Result<u64, Fault> {
    head[6 + 8 * n..][..8].iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16);
        digit
            .map(|digit| value << 4 | u64::from(digit))
            .ok_or("an entry of its cpio archive has a field that is not a number")
    })
}
