//! Many datagrams a system call: recvmmsg(2), sendmmsg(2) and the control data that says to which address a datagram came.
//!
//! The only `unsafe` of the project. Everything that is read out of what the kernel filled in is read with bounds checked: lengths
//! that the kernel reports are cut to the buffers they speak of.
#![allow(unsafe_code)]
// The types of lengths differ between C libraries.
#![allow(clippy::unnecessary_cast)]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

/// The most datagrams that one system call reads or sends.
pub const BATCH_MAX: usize = 64;
/// The longest query that is taken, octets; the kernel cuts longer ones.
pub const QUERY_OCTETS_MAX: usize = 4096;
/// The longest messages that are sent in one piece with others, octets: they fit any path.
const SEGMENT_OCTETS_MAX: usize = 512;
/// The distance of two receive buffers, octets: not a multiple of a page, so that their beginnings do not fight for the same cache lines.
const STRIDE: usize = QUERY_OCTETS_MAX + 128;
/// Room for control data, octets: one IPV6_PKTINFO or IP_PKTINFO and something beside it.
const CONTROL_OCTETS: usize = 64;

const HEADER: usize = mem::size_of::<libc::cmsghdr>();
/// Control messages begin at multiples of this.
const ALIGN: usize = mem::size_of::<usize>();

/// Writing a control message needs this much room, whatever the platform's `cmsghdr`.
const _: () = assert!(HEADER.next_multiple_of(ALIGN) + mem::size_of::<libc::in6_pktinfo>() <= CONTROL_OCTETS);

/// Control data of one datagram, aligned for `cmsghdr`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_OCTETS]);

/// What the kernel needs to know about the datagrams of one call.
struct Headers {
    headers: [libc::mmsghdr; BATCH_MAX],
    iovecs: [libc::iovec; BATCH_MAX],
    /// IPv4 addresses lie in here too: family and port have the same place, and `sin_addr` that of `sin6_flowinfo`.
    names: [libc::sockaddr_in6; BATCH_MAX],
    controls: [Control; BATCH_MAX],
}

// SAFETY: the pointers in here are set up anew before each call of the system and not followed after it, so they may go to another
// thread with what they point at.
unsafe impl Send for Headers {}

impl Headers {
    fn new() -> Box<Self> {
        // SAFETY: all of these are C structures of numbers and pointers, for which zeroed memory is a value.
        let (header, iovec, name) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Box::new(Self {
            headers: [header; BATCH_MAX],
            iovecs: [iovec; BATCH_MAX],
            names: [name; BATCH_MAX],
            controls: [Control([0; CONTROL_OCTETS]); BATCH_MAX],
        })
    }
}

/// Lets the kernel tell with each datagram of an unbound socket to which address it came.
///
/// An IPv6 socket tells it for IPv4 datagrams too, as a mapped address.
///
/// # Errors
/// What the operating system says: no such option, most likely.
pub fn ask_for_destination(socket: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    let (level, option) =
        if is_ipv6 { (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO) } else { (libc::IPPROTO_IP, libc::IP_PKTINFO) };
    switch_on(socket, level, option)
}

/// Lets the kernel tell with each datagram when it came, by the clock of the system.
///
/// # Errors
/// What the operating system says: no such option, most likely.
pub fn ask_for_arrival(socket: BorrowedFd<'_>) -> io::Result<()> {
    switch_on(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)
}

fn switch_on(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open as long as the borrow lasts; the option's value is an int that lives through the call, and its
    // length is given.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One datagram of a batch.
pub struct Datagram<'a> {
    /// What it holds.
    pub octets: &'a [u8],
    /// Who sent it; `None` if the kernel does not say, or was not asked.
    pub peer: Option<SocketAddr>,
    /// The address it was sent to, if the socket tells it.
    pub destination: Option<IpAddr>,
    /// Whether it was longer than [`QUERY_OCTETS_MAX`] and cut.
    pub is_cut: bool,
}

/// Buffers for reading a batch, used again and again.
pub struct Receiver {
    parts: Box<Headers>,
    octets: Vec<u8>,
    wants_control: bool,
    wants_peer: bool,
    count: usize,
}

impl Receiver {
    /// `wants_control`: the socket was asked with [`ask_for_destination`] or [`ask_for_arrival`].
    #[must_use]
    pub fn new(wants_control: bool) -> Self {
        let octets = vec![0; BATCH_MAX * STRIDE];
        Self { parts: Headers::new(), octets, wants_control, wants_peer: true, count: 0 }
    }

    /// For connected sockets: it does not ask for peers, who are known.
    #[must_use]
    pub fn connected() -> Self {
        Self { wants_peer: false, ..Self::new(false) }
    }

    /// Reads as many datagrams as there are, [`BATCH_MAX`] at most, without waiting; returns how many.
    ///
    /// # Errors
    /// What the operating system says; `WouldBlock` if there is none.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.count = 0;
        let parts = &mut *self.parts;
        let buffers = self.octets.chunks_exact_mut(STRIDE);
        let slots = parts.headers.iter_mut().zip(&mut parts.iovecs).zip(&mut parts.names).zip(&mut parts.controls);
        for ((((header, iovec), name), control), buffer) in slots.zip(buffers) {
            iovec.iov_base = buffer.as_mut_ptr().cast();
            iovec.iov_len = QUERY_OCTETS_MAX;
            let message = &mut header.msg_hdr;
            if self.wants_peer {
                message.msg_name = ptr::from_mut(name).cast();
                message.msg_namelen = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
            message.msg_iov = iovec;
            message.msg_iovlen = 1;
            message.msg_flags = 0;
            if self.wants_control {
                message.msg_control = control.0.as_mut_ptr().cast();
                message.msg_controllen = CONTROL_OCTETS as _;
            }
        }
        // SAFETY: the first BATCH_MAX headers were just set up from the vectors and arrays of this structure, which is borrowed mutably
        // until the call returns and whose parts are not moved or resized before: every header points at its own iovec, name and
        // control buffer, each with its real length, and every iovec at QUERY_OCTETS_MAX octets of a chunk of STRIDE octets.
        // Fields that were not set are zero from `Headers::new`. No timeout is given, which the null pointer says.
        let got = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                parts.headers.as_mut_ptr(),
                BATCH_MAX as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        self.count = got.min(BATCH_MAX);
        Ok(self.count)
    }

    /// One of the datagrams read last.
    #[must_use]
    pub fn datagram(&self, index: usize) -> Option<Datagram<'_>> {
        if index >= self.count {
            return None;
        }
        let header = self.parts.headers.get(index)?;
        let message = &header.msg_hdr;
        let len = (header.msg_len as usize).min(QUERY_OCTETS_MAX);
        let start = index * STRIDE;
        Some(Datagram {
            octets: self.octets.get(start..start + len)?,
            peer: peer_of(self.parts.names.get(index)?, message.msg_namelen as usize),
            destination: control_messages(self.control(index)?).find_map(destination_of),
            is_cut: message.msg_flags & libc::MSG_TRUNC != 0,
        })
    }

    /// When one of the datagrams read last came, since 1970; `None` if the socket does not tell it.
    #[must_use]
    pub fn arrival(&self, index: usize) -> Option<Duration> {
        control_messages(self.control(index)?).find_map(arrival_of)
    }

    /// The control data of one of the datagrams read last.
    fn control(&self, index: usize) -> Option<&[u8]> {
        let header = self.parts.headers.get(index).filter(|_| index < self.count)?;
        let len = if self.wants_control { (header.msg_hdr.msg_controllen as usize).min(CONTROL_OCTETS) } else { 0 };
        self.parts.controls.get(index)?.0.get(..len)
    }
}

/// Reads a socket address; IPv4-mapped IPv6 addresses become IPv4.
fn peer_of(name: &libc::sockaddr_in6, len: usize) -> Option<SocketAddr> {
    let port = u16::from_be(name.sin6_port);
    match i32::from(name.sin6_family) {
        libc::AF_INET if len >= mem::size_of::<libc::sockaddr_in>() => {
            Some((Ipv4Addr::from(name.sin6_flowinfo.to_ne_bytes()), port).into())
        }
        libc::AF_INET6 if len >= mem::size_of::<libc::sockaddr_in6>() => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            match ip.to_ipv4_mapped() {
                Some(v4) => Some((v4, port).into()),
                None => Some(SocketAddrV6::new(ip, port, 0, name.sin6_scope_id).into()),
            }
        }
        _ => None,
    }
}

/// A message of control data: its level, its type, and what it holds.
type ControlMessage<'a> = (libc::c_int, libc::c_int, &'a [u8]);

/// The messages of control data; whatever does not add up ends them.
fn control_messages(mut control: &[u8]) -> impl Iterator<Item = ControlMessage<'_>> {
    std::iter::from_fn(move || {
        if control.len() < HEADER {
            return None;
        }
        // SAFETY: `control` has at least as many octets as a `cmsghdr`, which is made of integers, so any octets are a value; it is
        // read unaligned.
        let header: libc::cmsghdr = unsafe { ptr::read_unaligned(control.as_ptr().cast()) };
        let len = header.cmsg_len as usize;
        let data = control.get(HEADER.next_multiple_of(ALIGN)..len)?;
        // `len` is within the slice, so this cannot overflow.
        control = control.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((header.cmsg_level, header.cmsg_type, data))
    })
}

/// The address out of IP_PKTINFO or IPV6_PKTINFO.
fn destination_of((level, kind, data): ControlMessage<'_>) -> Option<IpAddr> {
    match (level, kind) {
        // struct in6_pktinfo begins with the address.
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let ip = Ipv6Addr::from(<[u8; 16]>::try_from(data.get(..16)?).ok()?);
            Some(ip.to_canonical())
        }
        // struct in_pktinfo: interface, local address, destination of the header. The local one is not a broadcast address.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data.get(4..8)?).ok()?).into()),
        _ => None,
    }
}

/// The time out of SCM_TIMESTAMPNS: a `timespec`, two numbers of the machine's size.
fn arrival_of((level, kind, data): ControlMessage<'_>) -> Option<Duration> {
    const WORD: usize = mem::size_of::<isize>();
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return None;
    }
    let word = |at: usize| Some(isize::from_ne_bytes(data.get(at..at + WORD)?.try_into().ok()?));
    let (seconds, nanos) = (u64::try_from(word(0)?).ok()?, u32::try_from(word(WORD)?).ok()?);
    Some(Duration::new(seconds, nanos.min(999_999_999)))
}

/// A reply on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The message.
    pub octets: Vec<u8>,
    /// Where it goes.
    pub peer: SocketAddr,
    /// The address from which it leaves, if the socket is not bound to one.
    pub source: Option<IpAddr>,
}

/// Structures for sending a batch, used again and again.
pub struct Sender {
    parts: Box<Headers>,
    is_ipv6: bool,
    /// Whether the system takes messages in one piece, if that is known.
    takes_segments: Option<bool>,
}

impl Sender {
    /// `is_ipv6`: the socket's family; IPv4 addresses are mapped for it.
    #[must_use]
    pub fn new(is_ipv6: bool) -> Self {
        Self { parts: Headers::new(), is_ipv6, takes_segments: None }
    }

    /// Sends the first of the datagrams, [`BATCH_MAX`] at most, without waiting; returns how many went out.
    ///
    /// # Errors
    /// What the operating system says about the first one.
    pub fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: impl Iterator<Item = &'a Outgoing>,
    ) -> io::Result<usize> {
        let parts = &mut *self.parts;
        let slots = parts.headers.iter_mut().zip(&mut parts.iovecs).zip(&mut parts.names).zip(&mut parts.controls);
        let mut count: libc::c_uint = 0;
        for ((((header, iovec), name), control), datagram) in slots.zip(datagrams) {
            iovec.iov_base = datagram.octets.as_ptr().cast_mut().cast();
            iovec.iov_len = datagram.octets.len();
            let message = &mut header.msg_hdr;
            message.msg_namelen = write_name(name, datagram.peer, self.is_ipv6) as libc::socklen_t;
            message.msg_name = ptr::from_mut(name).cast();
            message.msg_iov = iovec;
            message.msg_iovlen = 1;
            let control_len = datagram.source.map_or(0, |source| write_source(control, source, self.is_ipv6));
            message.msg_controllen = control_len as _;
            message.msg_control = if control_len == 0 { ptr::null_mut() } else { control.0.as_mut_ptr().cast() };
            count += 1;
        }
        // SAFETY: the first `count` headers, at most BATCH_MAX of them, were just set up: each points at its own iovec, name and control
        // buffer of this structure, with lengths within these; each iovec points at the octets of a datagram that is borrowed for 'a,
        // which outlives the call.
        unsafe { self.send_prepared(socket, count) }
    }

    /// Sends the first of these messages on a connected socket, [`BATCH_MAX`] at most, without waiting; returns how many went out.
    ///
    /// # Errors
    /// What the operating system says about the first one, or about an earlier one.
    pub fn send_connected<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        messages: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<usize> {
        let parts = &mut *self.parts;
        let mut count: libc::c_uint = 0;
        for ((header, iovec), octets) in parts.headers.iter_mut().zip(&mut parts.iovecs).zip(messages) {
            iovec.iov_base = octets.as_ptr().cast_mut().cast();
            iovec.iov_len = octets.len();
            let message = &mut header.msg_hdr;
            (message.msg_name, message.msg_namelen) = (ptr::null_mut(), 0);
            (message.msg_control, message.msg_controllen) = (ptr::null_mut(), 0);
            message.msg_iov = iovec;
            message.msg_iovlen = 1;
            count += 1;
        }
        // SAFETY: the first `count` headers, at most BATCH_MAX of them, were just set up: each points at its own iovec of this structure,
        // and at no name or control data; each iovec points at octets that are borrowed for 'a, which outlives the call.
        unsafe { self.send_prepared(socket, count) }
    }

    /// As [`Sender::send_connected`]. Messages of the same length that follow each other, and a shorter one behind them, go through the
    /// network stack in one piece and are separate datagrams again at its end (UDP_SEGMENT), which costs a fraction.
    ///
    /// # Errors
    /// As [`Sender::send_connected`].
    pub fn send_segmented<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        messages: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> io::Result<usize> {
        if !*self.takes_segments.get_or_insert_with(|| takes_segments(socket)) {
            return self.send_connected(socket, messages);
        }
        let (headers, has_segments) = self.prepare_segments(messages.clone());
        // SAFETY: `prepare_segments` has set up so many headers: each points at iovecs of this structure, no two at the same, with as
        // many as it says, at no name, and at no control data or a control buffer of this structure with a length within it; each iovec
        // points at octets that are borrowed for 'a, which outlives the call.
        match unsafe { self.send_prepared(socket, headers) } {
            Ok(sent) => Ok(self.parts.headers.iter().take(sent).map(|header| header.msg_hdr.msg_iovlen as usize).sum()),
            // Not on this device or path: EIO where the device makes no checksums (udp(7)), EMSGSIZE where the path is too narrow.
            Err(error)
                if has_segments && matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE)) =>
            {
                self.takes_segments = Some(false);
                self.send_connected(socket, messages)
            }
            Err(error) => Err(error),
        }
    }

    /// Sets up a header for each run of messages of one length; returns how many, and whether the first run has more than one message.
    fn prepare_segments<'a>(&mut self, messages: impl Iterator<Item = &'a [u8]>) -> (libc::c_uint, bool) {
        let parts = &mut *self.parts;
        let (mut count, mut run_len) = (0, 0);
        for (iovec, octets) in parts.iovecs.iter_mut().zip(messages) {
            iovec.iov_base = octets.as_ptr().cast_mut().cast();
            iovec.iov_len = octets.len();
            if (1..=run_len).contains(&octets.len()) && run_len <= SEGMENT_OCTETS_MAX {
                let (message, control) = (&mut parts.headers[count - 1].msg_hdr, &mut parts.controls[count - 1]);
                message.msg_iovlen += 1;
                if message.msg_control.is_null() {
                    let size = u16::try_from(run_len).unwrap_or(u16::MAX).to_ne_bytes();
                    message.msg_controllen = write_control(control, libc::SOL_UDP, libc::UDP_SEGMENT, &size) as _;
                    message.msg_control = control.0.as_mut_ptr().cast();
                }
                // A shorter one is the last.
                run_len = if octets.len() == run_len { run_len } else { 0 };
                continue;
            }
            run_len = octets.len();
            let message = &mut parts.headers[count].msg_hdr;
            (message.msg_name, message.msg_namelen) = (ptr::null_mut(), 0);
            (message.msg_control, message.msg_controllen) = (ptr::null_mut(), 0);
            message.msg_iov = iovec;
            message.msg_iovlen = 1;
            count += 1;
        }
        let has_segments = count > 0 && parts.headers[0].msg_hdr.msg_iovlen > 1;
        (count as libc::c_uint, has_segments)
    }

    /// Sends the first `count` headers.
    ///
    /// # Safety
    /// There are so many, and each points at iovecs, name and control buffer of these parts, or at no name and control data, with
    /// lengths within these; each iovec points at octets that live until the call returns.
    unsafe fn send_prepared(&mut self, socket: BorrowedFd<'_>, count: libc::c_uint) -> io::Result<usize> {
        if count == 0 {
            return Ok(0);
        }
        let parts = &mut *self.parts;
        // SAFETY: the headers are as the caller promises, the parts are borrowed mutably until the call returns, and the kernel only
        // reads the octets.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                parts.headers.as_mut_ptr(),
                count,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Whether the system knows how to take messages in one piece; one that does not would send them as one datagram.
fn takes_segments(socket: BorrowedFd<'_>) -> bool {
    let mut size: libc::c_int = 0;
    let mut len = mem::size_of_val(&size) as libc::socklen_t;
    // SAFETY: the descriptor is open as long as the borrow lasts; the option's value is an int that lives through the call, as does its
    // length, which is given.
    let done = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, (&raw mut size).cast(), &raw mut len)
    };
    done == 0
}

/// Writes a socket address and returns its length.
fn write_name(name: &mut libc::sockaddr_in6, peer: SocketAddr, is_ipv6: bool) -> usize {
    name.sin6_port = peer.port().to_be();
    name.sin6_scope_id = 0;
    match peer {
        SocketAddr::V4(v4) if !is_ipv6 => {
            name.sin6_family = libc::AF_INET as libc::sa_family_t;
            name.sin6_flowinfo = u32::from_ne_bytes(v4.ip().octets());
            // The last eight octets of a sockaddr_in are padding.
            name.sin6_addr.s6_addr = [0; 16];
            mem::size_of::<libc::sockaddr_in>()
        }
        other => {
            name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            name.sin6_flowinfo = 0;
            name.sin6_addr.s6_addr = mapped(other.ip()).octets();
            if let SocketAddr::V6(v6) = other {
                name.sin6_scope_id = v6.scope_id();
            }
            mem::size_of::<libc::sockaddr_in6>()
        }
    }
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Writes the control message that gives a datagram its source address, and returns its length; 0: an IPv4 socket has no IPv6 source.
fn write_source(control: &mut Control, source: IpAddr, is_ipv6: bool) -> usize {
    let mut data = [0; 20];
    let (level, kind, len) = match source {
        IpAddr::V4(v4) if !is_ipv6 => {
            data[4..8].copy_from_slice(&v4.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, mem::size_of::<libc::in_pktinfo>())
        }
        ip if is_ipv6 => {
            data[..16].copy_from_slice(&mapped(ip).octets());
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, mem::size_of::<libc::in6_pktinfo>())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => return 0,
    };
    write_control(control, level, kind, &data[..len])
}

/// Writes a control message and returns its length.
fn write_control(control: &mut Control, level: libc::c_int, kind: libc::c_int, data: &[u8]) -> usize {
    let (start, len) = (HEADER.next_multiple_of(ALIGN), data.len());
    // SAFETY: a `cmsghdr` is made of integers, for which zero is a value.
    let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
    header.cmsg_len = (start + len) as _;
    header.cmsg_level = level;
    header.cmsg_type = kind;
    control.0 = [0; CONTROL_OCTETS];
    // SAFETY: the buffer has CONTROL_OCTETS octets, more than a `cmsghdr`, and is written unaligned.
    unsafe { ptr::write_unaligned(control.0.as_mut_ptr().cast(), header) };
    control.0[start..start + len].copy_from_slice(data);
    (start + len).next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests;
