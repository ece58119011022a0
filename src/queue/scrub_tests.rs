use super::*;

fn owner(id: &str) -> Owner {
    Owner::of(&Target::User { user_id: id.parse().expect("it is an id") })
}

fn clean(owner_id: &str, payload: &str) -> Option<(String, Option<String>)> {
    let (text, original) = clean_payload(&owner(owner_id), payload.as_bytes())?;
    Some((String::from_utf8(text).expect("it is text"), original.map(|key| key.to_string())))
}

#[test]
fn a_payload_keeps_its_ids_and_loses_urls_pictures_and_context() {
    let url =
        r#"{"context":{"a":1},"image_id":"i","source":{"type":"url","url":"https://x/?me"},"user_id":7}"#;
    let inline = r#"{"source":{"base64":"AAAA","type":"inline"},"user_id":"7"}"#;
    let staged = r#"{"source":{"key":"staging/x/y","type":"staged"},"user_id":"7"}"#;

    let (url, inline, staged) = (clean("7", url), clean("7", inline), clean("7", staged));

    let without_url = r#"{"image_id":"i","source":{"type":"url","url":""},"user_id":7}"#;
    assert_eq!(url, Some((without_url.into(), None)));
    let without_picture = r#"{"source":{"base64":"","type":"inline"},"user_id":"7"}"#;
    assert_eq!(inline, Some((without_picture.into(), None)));
    assert_eq!(staged.expect("it is theirs").1, Some("staging/x/y".into()));
}

#[test]
fn a_payload_of_another_owner_is_left_alone_and_one_that_is_no_json_is_emptied() {
    let named_within = r#"{"user_id":"10","context":{"user_id":"1"}}"#;

    assert_eq!(clean("1", named_within), None);
    assert_eq!(clean("1", r#"{"user_id":"1","#), Some(("{}".into(), None)));
}

#[test]
fn a_receipt_still_says_what_became_of_the_job() {
    let receipt = r#"{"Ok":{"context":{"a":1},"error":{"code":"http_404","detail":{"u":1},"message":"https://x"},"object":{"key":"k","url":"https://x"},"source":{"type":"url"},"status":"failed","visual":{"thumbhash":"x"},"warnings":[{}]}}"#;

    let clean = clean_result(receipt).expect("it is a receipt");

    for word in ["https", "thumbhash", r#""a":1"#, r#""u":1"#] {
        assert!(!clean.contains(word), "{word} in {clean}");
    }
    for word in [r#""status":"failed""#, r#""code":"http_404""#, r#""key":"k""#] {
        assert!(clean.contains(word), "no {word} in {clean}");
    }
    assert_eq!(clean_result(&clean), Some(clean.clone()));
}
