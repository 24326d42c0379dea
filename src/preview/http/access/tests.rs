//! Who is let in, and who is not.

use super::*;
use hyper::Request;

fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn tokens_are_random_and_needed_outside_loopback() {
    let token = random_token().unwrap();
    assert_eq!(token.len(), 32);
    assert!(token.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(token, random_token().unwrap());
    for (address, is_needed) in [
        ("127.0.0.1:1", false),
        ("127.9.9.9:1", false),
        ("[::1]:1", false),
        ("[::ffff:127.0.0.1]:1", false),
        ("0.0.0.0:1", true),
        ("[::]:1", true),
        ("192.168.1.2:1", true),
    ] {
        assert_eq!(
            needs_token(&address.parse().unwrap()),
            is_needed,
            "{address}"
        );
    }
    assert!(Gate::new(Some("")).is_err());
    assert!(Gate::new(Some("a&b")).is_err());
}

#[test]
fn the_token_comes_by_address_header_or_cookie() {
    let gate = Gate::new(Some("s3cret")).unwrap();
    let check = |uri: &str, header: (&str, &str)| {
        gate.check(&head(uri, &[("host", "some.name:80"), header]))
    };
    assert_eq!(check("/status?a=b&token=s3cret", ("x", "")), Ok(()));
    assert_eq!(check("/status", ("authorization", "Bearer s3cret")), Ok(()));
    let cookie = "a=b; gradcam_video_token=s3cret";
    assert_eq!(check("/status", ("cookie", cookie)), Ok(()));
    for (uri, header) in [
        ("/status", ("x", "")),
        ("/status?token=", ("x", "")),
        ("/status?token=s3cre", ("x", "")),
        ("/status?token=s3cret1", ("x", "")),
        ("/status?Token=s3cret", ("x", "")),
        ("/status", ("authorization", "Basic s3cret")),
        ("/status", ("cookie", "gradcam_video_token=S3cret")),
        ("/status", ("cookie", "other=s3cret")),
    ] {
        let answer = check(uri, header);
        assert_eq!(answer, Err(Refusal::WrongToken), "{uri} {header:?}");
    }
}

#[test]
fn without_a_token_only_addresses_and_localhost_are_names_for_us() {
    let gate = Gate::new(None).unwrap();
    for host in [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1:1",
        "192.168.0.7",
        "[::1]:8080",
    ] {
        assert_eq!(
            gate.check(&head("/status", &[("host", host)])),
            Ok(()),
            "{host}"
        );
    }
    for host in [
        "evil.example",
        "localhost.evil.example:80",
        "",
        "127.0.0.1.evil",
        "a@127.0.0.1",
        "[::1",
    ] {
        let answer = gate.check(&head("/status", &[("host", host)]));
        assert_eq!(answer, Err(Refusal::ForeignName), "{host}");
    }
    assert!(gate.check(&head("/", &[])).is_err());
    assert!(
        gate.check(&head("/", &[("host", "localhost"), ("host", "::1")]))
            .is_err()
    );
}

#[test]
fn other_sites_get_nothing_but_the_page() {
    let gate = Gate::new(None).unwrap();
    let check = |uri, site| {
        gate.check(&head(
            uri,
            &[("host", "localhost"), ("sec-fetch-site", site)],
        ))
    };
    assert_eq!(check("/", "cross-site"), Ok(()));
    assert_eq!(check("/stream.mjpg", "same-origin"), Ok(()));
    assert_eq!(check("/stream.mjpg", "none"), Ok(()));
    assert_eq!(
        check("/stream.mjpg", "cross-site"),
        Err(Refusal::ForeignSite)
    );
    assert_eq!(check("/status", "same-site"), Err(Refusal::ForeignSite));
}

#[test]
fn wishes_are_json_and_from_our_own_page() {
    let check = |headers: &[(&str, &str)]| check_wish(&head("/", headers).headers);
    let json = ("content-type", "application/json; charset=utf-8");
    let host = ("host", "127.0.0.1:8080");
    assert_eq!(check(&[host, json]), Ok(()));
    assert_eq!(
        check(&[host, json, ("origin", "http://127.0.0.1:8080")]),
        Ok(())
    );
    for origin in [
        "http://127.0.0.1:81",
        "null",
        "",
        "http://evil.example",
        "127.0.0.1:8080",
    ] {
        let answer = check(&[host, json, ("origin", origin)]);
        assert_eq!(answer, Err(Refusal::ForeignSite), "{origin}");
    }
    assert_eq!(
        check(&[host, ("content-type", "text/plain")]),
        Err(Refusal::NotJson)
    );
    assert_eq!(check(&[host]), Err(Refusal::NotJson));
}
