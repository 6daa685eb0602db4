#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;

use super::*;

fn socket(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// Reads until so many datagrams were seen; `each` gets them.
fn receive(receiver: &mut Receiver, from: &UdpSocket, wanted: usize, mut each: impl FnMut(&Datagram<'_>)) {
    let mut seen = 0;
    for _ in 0..1_000 {
        match receiver.receive(from.as_fd()) {
            Ok(count) => {
                seen += count;
                (0..count).for_each(|index| each(&receiver.datagram(index).unwrap()));
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        if seen >= wanted {
            assert_eq!(seen, wanted);
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{seen} of {wanted} datagrams came");
}

fn send_all(sender: &mut Sender, from: &UdpSocket, replies: &[Outgoing]) {
    let mut done = 0;
    while done < replies.len() {
        done += sender.send(from.as_fd(), replies[done..].iter()).unwrap();
    }
}

/// Control data with one message.
fn control(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let len = HEADER + data.len();
    let mut octets = Vec::new();
    octets.extend(len.to_ne_bytes());
    octets.extend(level.to_ne_bytes());
    octets.extend(kind.to_ne_bytes());
    octets.extend(data);
    octets.resize(len.next_multiple_of(ALIGN), 0);
    octets
}

fn destination_in(control: &[u8]) -> Option<IpAddr> {
    control_messages(control).find_map(destination_of)
}

#[test]
fn a_full_batch_and_one_more_are_read_in_two_calls() {
    let (server, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    for index in 0..=BATCH_MAX {
        client.send_to(&[index as u8], server.local_addr().unwrap()).unwrap();
    }
    std::thread::sleep(Duration::from_millis(20));
    let mut receiver = Receiver::new(false);
    assert_eq!(receiver.receive(server.as_fd()).unwrap(), BATCH_MAX);
    for index in 0..BATCH_MAX {
        let datagram = receiver.datagram(index).unwrap();
        assert_eq!(datagram.octets, [index as u8]);
        assert_eq!(datagram.peer, Some(client.local_addr().unwrap()));
    }
    assert_eq!(receiver.receive(server.as_fd()).unwrap(), 1);
    assert!(receiver.datagram(1).is_none());
}

#[test]
fn datagrams_of_odd_sizes_are_read_whole_or_marked_as_cut() {
    let (server, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let mut receiver = Receiver::new(false);
    let longest = QUERY_OCTETS_MAX;
    for len in [0, 1, 11, 12, 511, 513, longest - 1, longest, longest + 1, 65_507] {
        client.send_to(&vec![7; len], server.local_addr().unwrap()).unwrap();
        receive(&mut receiver, &server, 1, |datagram| {
            assert_eq!((datagram.octets.len(), datagram.is_cut), (len.min(longest), len > longest));
            assert!(datagram.octets.iter().all(|octet| *octet == 7));
        });
    }
}

#[test]
fn a_wildcard_socket_tells_the_address_and_sends_from_it() {
    for (bound, is_ipv6) in [("0.0.0.0:0", false), ("[::]:0", true)] {
        let Ok(server) = UdpSocket::bind(bound) else { continue };
        ask_for_destination(server.as_fd(), is_ipv6).unwrap();
        let port = server.local_addr().unwrap().port();
        let client = socket("127.0.0.1:0");
        let (mut receiver, mut sender) = (Receiver::new(true), Sender::new(is_ipv6));
        for asked in ["127.0.0.1", "127.0.0.2"] {
            client.send_to(b"?", (asked, port)).unwrap();
            let mut reply = None;
            receive(&mut receiver, &server, 1, |datagram| {
                assert_eq!(datagram.destination, Some(asked.parse().unwrap()), "{bound}");
                let peer = datagram.peer.unwrap();
                reply = Some(Outgoing { octets: b"!".to_vec(), peer, source: datagram.destination });
            });
            send_all(&mut sender, &server, &[reply.unwrap()]);
            let (_, from) = client.recv_from(&mut [0; 8]).unwrap();
            assert_eq!(from, (asked.parse::<IpAddr>().unwrap(), port).into());
        }
    }
}

#[test]
fn an_ipv6_client_is_answered_from_the_address_it_asked() {
    let Ok(client) = UdpSocket::bind("[::1]:0") else { return };
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let server = socket("[::]:0");
    ask_for_destination(server.as_fd(), true).unwrap();
    client.send_to(b"?", ("::1", server.local_addr().unwrap().port())).unwrap();
    let (mut receiver, mut sender) = (Receiver::new(true), Sender::new(true));
    let mut reply = None;
    receive(&mut receiver, &server, 1, |datagram| {
        assert_eq!(datagram.destination, Some("::1".parse().unwrap()));
        reply = Some(Outgoing { octets: b"!".to_vec(), peer: datagram.peer.unwrap(), source: datagram.destination });
    });
    send_all(&mut sender, &server, &[reply.unwrap()]);
    assert_eq!(client.recv_from(&mut [0; 8]).unwrap().1.ip().to_string(), "::1");
}

#[test]
fn replies_with_and_without_source_in_one_batch_do_not_mix() {
    let server = socket("0.0.0.0:0");
    let client = socket("127.0.0.1:0");
    let peer = client.local_addr().unwrap();
    let sources = [None, Some([127, 0, 0, 3].into()), None, Some([127, 0, 0, 4].into())];
    let replies: Vec<Outgoing> = sources
        .iter()
        .enumerate()
        .map(|(at, source)| Outgoing { octets: vec![at as u8; at], peer, source: *source })
        .collect();
    let mut sender = Sender::new(false);
    for _ in 0..2 {
        send_all(&mut sender, &server, &replies);
        for (at, source) in sources.iter().enumerate() {
            let (len, from) = client.recv_from(&mut [0; 8]).unwrap();
            assert_eq!((len, from.ip()), (at, source.unwrap_or([127, 0, 0, 1].into())));
        }
    }
}

#[test]
fn more_replies_than_a_batch_go_out_in_pieces() {
    let (server, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let peer = client.local_addr().unwrap();
    let replies: Vec<Outgoing> =
        (0..BATCH_MAX + 1).map(|at| Outgoing { octets: vec![at as u8], peer, source: None }).collect();
    let mut sender = Sender::new(false);
    assert_eq!(sender.send(server.as_fd(), replies.iter()).unwrap(), BATCH_MAX);
    assert_eq!(sender.send(server.as_fd(), replies[BATCH_MAX..].iter()).unwrap(), 1);
    assert_eq!(sender.send(server.as_fd(), [].iter()).unwrap(), 0);
}

#[test]
fn an_error_is_that_of_the_first_reply() {
    let (server, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let peer = client.local_addr().unwrap();
    let good = Outgoing { octets: vec![1], peer, source: None };
    let too_long = Outgoing { octets: vec![0; 65_508], peer, source: None };
    let mut sender = Sender::new(false);
    assert_eq!(sender.send(server.as_fd(), [&good, &too_long].into_iter()).unwrap(), 1);
    let error = sender.send(server.as_fd(), [&too_long, &good].into_iter()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
}

#[test]
fn control_data_cut_anywhere_gives_the_address_or_none() {
    let mut data = control(libc::SOL_SOCKET, libc::SO_TIMESTAMP, &[1; 16]);
    data.extend(control(libc::IPPROTO_IP, libc::IP_PKTINFO, &[0, 0, 0, 1, 192, 0, 2, 7, 192, 0, 2, 8]));
    let whole = HEADER + 16 + HEADER + 12;
    for len in 0..=data.len() {
        let wanted = (len >= whole).then(|| IpAddr::from([192, 0, 2, 7]));
        assert_eq!(destination_in(&data[..len]), wanted, "{len}");
    }
}

#[test]
fn control_lengths_that_lie_give_no_address() {
    let honest = control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &[1; 20]);
    assert!(destination_in(&honest).is_some());
    for lie in [0, 1, HEADER - 1, HEADER, HEADER + 15, honest.len() + 1, usize::MAX - 7, usize::MAX] {
        let mut data = honest.clone();
        data[..ALIGN].copy_from_slice(&lie.to_ne_bytes());
        assert_eq!(destination_in(&data), None, "{lie}");
    }
}

#[test]
fn random_control_data_is_survived() {
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let data: Vec<u8> = (0..CONTROL_OCTETS)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Small numbers, so that lengths sometimes add up.
                (state >> 33) as u8 & 0x2f
            })
            .collect();
        for len in [0, 15, 16, 17, 31, 33, 63, 64] {
            let _ = destination_in(&data[..len]);
        }
    }
}

#[test]
fn an_address_shorter_than_its_family_is_none() {
    let mut name = Headers::new().names[0];
    assert_eq!(peer_of(&name, 0), None);
    let v4: SocketAddr = "192.0.2.1:53".parse().unwrap();
    let v6: SocketAddr = "[2001:db8::1]:53".parse().unwrap();
    assert_eq!(write_name(&mut name, v4, false), 16);
    assert_eq!((peer_of(&name, 15), peer_of(&name, 16)), (None, Some(v4)));
    assert_eq!(write_name(&mut name, v6, true), 28);
    assert_eq!((peer_of(&name, 27), peer_of(&name, 28)), (None, Some(v6)));
    write_name(&mut name, v4, true);
    assert_eq!(peer_of(&name, 28), Some(v4));
}

#[test]
fn an_ipv4_socket_has_no_ipv6_source() {
    let mut control = Control([0; CONTROL_OCTETS]);
    assert_eq!(write_source(&mut control, "2001:db8::1".parse().unwrap(), false), 0);
    let len = write_source(&mut control, "2001:db8::1".parse().unwrap(), true);
    assert_eq!(destination_in(&control.0[..len]), Some("2001:db8::1".parse().unwrap()));
}

#[test]
fn a_connected_socket_sends_so_many_messages_a_call_and_no_more() {
    let (server, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    client.connect(server.local_addr().unwrap()).unwrap();
    let messages: Vec<[u8; 1]> = (0..=BATCH_MAX).map(|index| [u8::try_from(index).unwrap()]).collect();
    let mut sender = Sender::new(false);
    let mut send =
        |from: usize| sender.send_connected(client.as_fd(), messages[from..].iter().map(|octets| &octets[..]));
    assert_eq!(send(0).unwrap(), BATCH_MAX);
    assert_eq!(send(BATCH_MAX).unwrap(), 1);
    assert_eq!(send(BATCH_MAX + 1).unwrap(), 0);
    let mut seen = Vec::new();
    receive(&mut Receiver::new(false), &server, BATCH_MAX + 1, |datagram| seen.extend_from_slice(datagram.octets));
    assert_eq!(seen, messages.concat());
}

#[test]
fn a_socket_that_is_asked_tells_when_a_datagram_came() {
    let (server, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    ask_for_arrival(server.as_fd()).unwrap();
    // The kernel begins to take times a little later.
    std::thread::sleep(Duration::from_millis(20));
    #[allow(clippy::disallowed_methods)]
    let since_1970 = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let before = since_1970();
    client.send_to(b"one", server.local_addr().unwrap()).unwrap();
    let after = since_1970();
    // That it is read later does not matter.
    std::thread::sleep(Duration::from_millis(20));
    let mut receiver = Receiver::new(true);
    receive(&mut receiver, &server, 1, |datagram| assert_eq!(datagram.destination, None));
    let arrival = receiver.arrival(0).unwrap();
    assert!(before <= arrival && arrival <= after, "{before:?} {arrival:?} {after:?}");
    assert_eq!(receiver.arrival(1), None);
}

#[test]
fn a_socket_that_is_not_asked_tells_no_arrival() {
    let (server, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    client.send_to(b"one", server.local_addr().unwrap()).unwrap();
    let mut receiver = Receiver::new(true);
    receive(&mut receiver, &server, 1, |_| {});
    assert_eq!(receiver.arrival(0), None);
}

#[test]
fn a_time_cut_anywhere_is_none() {
    let time: Vec<u8> = [7_isize, 8].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let data = control(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &time);
    let arrival = |control: &[u8]| control_messages(control).find_map(arrival_of);
    assert_eq!(arrival(&data), Some(Duration::new(7, 8)));
    assert!((0..data.len()).all(|len| arrival(&data[..len]).is_none()));
    let before = [-1_isize, 8].iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    assert_eq!(arrival(&control(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &before)), None);
}

/// Messages of these lengths, each with its number in all octets.
fn numbered(lengths: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    lengths.into_iter().enumerate().map(|(number, len)| vec![number as u8; len]).collect()
}

/// Sends messages on a connected socket in one call or two, and checks that they come as they are.
fn send_segmented(sender: &mut Sender, messages: &[Vec<u8>]) {
    let (server, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    client.connect(server.local_addr().unwrap()).unwrap();
    let mut done = 0;
    while done < messages.len() {
        let sent = sender.send_segmented(client.as_fd(), messages[done..].iter().map(Vec::as_slice)).unwrap();
        assert!((1..=BATCH_MAX).contains(&sent));
        done += sent;
    }
    let mut seen = Vec::new();
    receive(&mut Receiver::connected(), &server, messages.len(), |datagram| {
        assert_eq!(datagram.peer, None);
        seen.push(datagram.octets.to_vec());
    });
    assert_eq!(seen, messages);
}

#[test]
fn messages_sent_in_one_piece_come_as_they_are() {
    let mut sender = Sender::new(false);
    send_segmented(&mut sender, &numbered([30; BATCH_MAX]));
    send_segmented(&mut sender, &numbered([30; BATCH_MAX + 1]));
    send_segmented(&mut sender, &numbered([30, 30, 31, 30, 30, 30, 0, 0, 29, 512, 512, 513, 513, 1]));
    send_segmented(&mut sender, &numbered((0..BATCH_MAX).map(|number| 20 + number % 7 / 3)));
    // Unless the system is an old one.
    assert_eq!(sender.takes_segments, Some(takes_segments(socket("127.0.0.1:0").as_fd())));
}

#[test]
fn where_nothing_can_be_sent_in_one_piece_messages_go_one_by_one() {
    let mut sender = Sender { takes_segments: Some(false), ..Sender::new(false) };
    send_segmented(&mut sender, &numbered([30; BATCH_MAX + 1]));
}

#[test]
fn a_socket_that_is_none_of_udp_takes_nothing_in_one_piece() {
    let (one, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    assert!(!takes_segments(one.as_fd()));
}
