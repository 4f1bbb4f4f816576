use super::*;
use crate::host::system::test_driver;

const TEST: &str = "test:///default";

#[test]
fn an_answer_keeps_the_number_of_its_error() {
    let connection = ReadConnection::open(TEST).unwrap();
    let missing = "00000000-0000-4000-8000-000000000000";
    let lookup = move |connect: &Connect| connect.lookup_domain_by_uuid_string(missing);
    let error = connection.answer("look it up", lookup).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Missing);
    assert!(error.why.starts_with("Domain not found"), "{error}");
}

#[test]
fn a_domain_that_is_not_dumped_in_time_is_listed_as_unreadable() {
    let connection = ReadConnection::open(TEST).unwrap();
    let listing = |places: Places<Connect>| Ok((list(&places.connection).unwrap(), places));
    let call = Request::reading("list its domains");
    let (listed, places) = connection.pool.call_with(&call, DUMPERS, listing).unwrap();
    let untouched: Vec<_> = listed.iter().map(|entry| entry.unread("why")).collect();
    assert_eq!(untouched[0].name, "test");
    let hurried = Request::changing("dump a domain", Duration::ZERO);
    let (dumped, _) = dump_all(listed, places, &hurried).unwrap();
    for (raw, unread) in dumped.iter().zip(&untouched) {
        assert_eq!(raw.name, unread.name);
        let why = raw.inactive.unknown();
        assert!(why.is_none_or(|why| why.to_string().contains("did not dump a domain")));
    }
    assert_eq!(dumped.len(), untouched.len());
}

#[test]
fn only_the_xml_of_a_process_has_an_id() {
    assert!(has_id("<domain type='kvm' id='7' xmlns:qemu='urn:x'/>"));
    assert!(!has_id("<domain type='kvm'>\n  <memory id='7'/></domain>"));
    assert!(!has_id("<domain type='kvm' uuid='7'/>"));
    assert!(!has_id("<domain/>"));
}

#[test]
fn guests_are_seen_with_why_they_are_off() {
    let _alone = test_driver();
    let connection = WriteConnection::open(TEST).unwrap();
    let running = connection.guest("test").unwrap();
    assert_eq!(running.state, RunState::Running);
    assert_eq!(connection.guests().unwrap(), std::slice::from_ref(&running));
    connection.cut(&running.uuid).unwrap();
    let off = connection.guest("test").unwrap();
    assert_eq!((off.state, off.off), (RunState::Off, Off::Destroyed));
    let missing = connection.guest("other").unwrap_err();
    assert_eq!(missing.kind, CallErrorKind::Missing);
}

#[test]
fn a_read_only_connection_changes_nothing() {
    let _alone = test_driver();
    let reads = ReadConnection::open(TEST).unwrap();
    let connection = WriteConnection {
        pool: Arc::clone(&reads.pool),
    };
    let test = reads.domains().unwrap().remove(0);
    let refused = [
        connection.define(test.inactive.present().unwrap()),
        connection.set_autostart(&test.uuid, true),
        connection.start(&test.uuid),
        connection.shutdown(&test.uuid, limit::READ),
        connection.undefine(&test.uuid, false),
        connection.dump_secure(&test.uuid).map(drop),
    ];
    for refusal in refused {
        let why = refusal.unwrap_err().why;
        assert!(why.starts_with("operation forbidden"), "{why}");
    }
    assert_eq!(reads.domain(&test.uuid).unwrap(), test);
}
