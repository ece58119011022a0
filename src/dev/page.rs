//! The page of the demo: originals beside results, in one file that needs nothing else.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use darkroom_jobs::Receipt;

use super::demo::{Shown, table};

const HEAD: &str = r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>darkroom: before and after</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; background: #fafafa }
  section { background: #fff; border: 1px solid #ddd; border-radius: 8px; margin: 1rem 0; padding: 1rem }
  section.wrong { border-color: #c00 }
  h2 { font-size: 1.05rem; margin: 0 0 .6rem }
  .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem }
  figure { margin: 0 } figcaption { color: #666; font-size: .85rem }
  img { max-width: 100%; max-height: 24rem; border-radius: 4px; background: repeating-conic-gradient(#eee 0 25%, #fff 0 50%) 0 / 16px 16px }
  .none { color: #888; background: #f2f2f2; border-radius: 4px; padding: 3rem 1rem; text-align: center }
  ul { margin: .8rem 0 0; padding-left: 1.2rem; color: #444 }
</style>
<h1>darkroom: before and after</h1>
"#;

/// The page, with every picture inside; those that were kept come first.
pub fn render(shown: &[Shown]) -> String {
    let mut page = HEAD.to_owned();
    let (kept, others): (Vec<_>, Vec<_>) = shown.iter().partition(|job| job.result.is_some());
    for job in kept.into_iter().chain(others) {
        section(&mut page, job);
    }
    page.push_str("</html>\n");
    page
}

fn section(page: &mut String, job: &Shown) {
    let class = if job.as_expected { "" } else { " class=\"wrong\"" };
    let verdict = table::verdict(&job.receipt);
    let _ = write!(
        page,
        "<section{class}><h2>{} · {} · {}</h2>",
        escaped(&job.name),
        job.receipt.kind,
        escaped(&verdict)
    );
    if let Some(original) = &job.original {
        let kind = job.receipt.source.as_ref().and_then(|source| source.detected_type.as_deref());
        page.push_str("<div class=\"pair\">");
        figure(page, "before", kind, Some(original));
        figure(page, "after", Some("image/jpeg"), job.result.as_deref());
        page.push_str("</div>");
    }
    page.push_str("<ul>");
    for change in changes(job) {
        let _ = write!(page, "<li>{}</li>", escaped(&change));
    }
    page.push_str("</ul></section>\n");
}

fn figure(page: &mut String, caption: &str, kind: Option<&str>, picture: Option<&[u8]>) {
    let size = picture.map(|bytes| format!(", {}", table::size(bytes.len() as u64))).unwrap_or_default();
    let inside = match (picture, kind.filter(|kind| browsers_show(kind))) {
        (Some(bytes), Some(kind)) => {
            format!("<img alt=\"{caption}\" src=\"data:{kind};base64,{}\">", STANDARD.encode(bytes))
        }
        (Some(_), None) => "<p class=\"none\">browsers do not show this file</p>".to_owned(),
        (None, _) => "<p class=\"none\">nothing was stored</p>".to_owned(),
    };
    let _ = write!(page, "<figure>{inside}<figcaption>{caption}{size}</figcaption></figure>");
}

fn browsers_show(kind: &str) -> bool {
    ["image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp"].contains(&kind)
}

/// What was changed, in sentences.
fn changes(job: &Shown) -> Vec<String> {
    let receipt = &job.receipt;
    let mut changes = Vec::new();
    if let Some(error) = &receipt.error {
        changes.push(format!("{} ({})", error.message, error.code));
        changes.push(error.hint.clone());
    }
    if receipt.object.is_some() {
        changes.push(table::format(receipt));
        changes.extend(of_the_source(receipt));
    }
    changes.extend(receipt.warnings.iter().map(|warning| warning.message.clone()));
    if let Some(deletion) = &receipt.deletion {
        changes.push(format!(
            "{} objects and {} staged originals were removed",
            deletion.objects, deletion.staged
        ));
    }
    changes
}

fn of_the_source(receipt: &Receipt) -> Vec<String> {
    let Some(source) = &receipt.source else { return Vec::new() };
    let turned = source.orientation.filter(|orientation| *orientation != 1);
    let turned = turned.map(|orientation| format!("EXIF orientation {orientation} was applied"));
    let profile = source.icc.as_deref().map(|icc| format!("colors were converted from {icc} to sRGB"));
    let place = source.had_gps.unwrap_or(false).then(|| "where it was taken was removed".to_owned());
    [turned, profile, place].into_iter().flatten().collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use darkroom_jobs::{JobId, Kind, Status};

    use super::*;

    #[test]
    fn a_page_holds_every_picture_itself_and_trusts_no_name() {
        let shown = Shown {
            name: "<script>.jpg".to_owned(),
            original: Some(b"not shown".as_slice().into()),
            result: Some(b"jpeg".as_slice().into()),
            receipt: Receipt::new(JobId::generate(), Kind::Upload, Status::Done),
            took: std::time::Duration::ZERO,
            as_expected: true,
        };

        let page = render(&[shown]);

        assert!(page.contains("&lt;script&gt;.jpg") && !page.contains("<script"));
        assert!(page.contains("data:image/jpeg;base64,anBlZw=="));
        assert!(!page.contains("src=\"http"));
    }
}
