//! What `darkroom queue watch` shows, drawn into a buffer: on a terminal, or for print.

use darkroom_jobs::Receipt;
use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Borders, Cell, Paragraph, Row, Table, Widget},
};
use serde::Serialize;

use super::age;
use crate::queue::inspect::{QueueStats, Running};

/// One look at the queues.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// In the order in which queues are shown.
    pub queues: Vec<QueueStats>,
    /// The longest first.
    pub running: Vec<Running>,
    /// The newest first.
    pub failures: Vec<Receipt>,
}

/// The columns of the printed page.
const WIDTH: u16 = 120;

impl View {
    /// Draws the view; `note` is the last line.
    pub fn draw(&self, note: &str, area: Rect, buffer: &mut Buffer) {
        let (queues, running) = (self.queues.len() as u16 + 2, self.running.len().max(1) as u16 + 2);
        let rows = [
            Constraint::Length(queues),
            Constraint::Max(running),
            Constraint::Fill(1),
            Constraint::Length(1),
        ];
        let [top, middle, bottom, last] = Layout::vertical(rows).areas(area);
        self.queues().render(top, buffer);
        self.running().render(middle, buffer);
        self.failures().render(bottom, buffer);
        Paragraph::new(Line::styled(note, Style::new().add_modifier(Modifier::DIM))).render(last, buffer);
    }

    /// The view as lines of text.
    pub fn text(&self) -> String {
        let height = self.queues.len() + self.running.len().max(1) + self.failures.len().max(1) + 7;
        let area = Rect::new(0, 0, WIDTH, u16::try_from(height).unwrap_or(u16::MAX));
        let mut buffer = Buffer::empty(area);
        self.draw("", area, &mut buffer);
        let cells = |y| (0..WIDTH).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        let lines: Vec<_> = (0..area.height).map(|y| cells(y).trim_end().to_owned()).collect();
        lines.join("\n").trim_end().to_owned()
    }

    fn queues(&self) -> Table<'_> {
        let rows = self.queues.iter().map(|stats| {
            let counts = &stats.counts;
            let cells = [
                counts.kind.as_str().to_owned(),
                counts.active.to_string(),
                counts.scheduled.to_string(),
                counts.leased.to_string(),
                counts.done.to_string(),
                counts.dead.to_string(),
                stats.oldest_ready_ms.map_or_else(|| "–".to_owned(), age),
                if stats.paused { "paused" } else { "" }.to_owned(),
            ];
            let cells = cells.into_iter().enumerate().map(aligned);
            let style = if stats.paused { Style::new().fg(Color::Yellow) } else { Style::new() };
            Row::new(cells).style(style)
        });
        let widths = [14, 9, 10, 9, 9, 9, 13, 9].map(Constraint::Length);
        let head = ["queue", "ready", "scheduled", "running", "done", "dead", "oldest ready", ""];
        let head = head.map(str::to_owned).into_iter().enumerate().map(aligned);
        Table::new(rows, widths).header(Row::new(head).style(bold())).block(titled("queues"))
    }

    fn running(&self) -> Table<'_> {
        let rows = self.running.iter().map(|job| {
            let delivery =
                if job.deliveries > 1 { format!("delivery {}", job.deliveries) } else { String::new() };
            Row::new([job.job_id.clone(), job.kind.as_str().to_owned(), age(job.running_ms), delivery])
        });
        let none = self.running.is_empty().then(|| Row::new(["nothing is running"]));
        let widths = [28, 14, 10, 14].map(Constraint::Length);
        Table::new(rows.chain(none), widths).block(titled("running, the longest first"))
    }

    fn failures(&self) -> Table<'_> {
        let rows = self.failures.iter().map(|receipt| {
            let (code, message) = receipt
                .error
                .as_ref()
                .map_or(("", ""), |error| (error.code.as_str(), error.message.as_str()));
            let at = receipt.finished_at.map(|at| at.to_string()).unwrap_or_default();
            let at = at.get(..19).unwrap_or_default().replace('T', " ");
            Row::new([at, receipt.job_id.to_string(), code.to_owned(), cause(message).to_owned()])
        });
        let none = self.failures.is_empty().then(|| Row::new(["no dead jobs"]));
        let widths =
            [Constraint::Length(19), Constraint::Length(26), Constraint::Length(24), Constraint::Fill(1)];
        Table::new(rows.chain(none), widths).block(titled("last failures (UTC)"))
    }
}

/// Numbers end in one column; the first cell is a name, and the last says that a queue is paused.
fn aligned((column, text): (usize, String)) -> Cell<'static> {
    let line = Line::from(text);
    Cell::from(if (1..7).contains(&column) { line.right_aligned() } else { line })
}

/// What a receipt says of a failure, without what was being done: its code tells that.
fn cause(message: &str) -> &str {
    let steps =
        ["could not fetch the original: ", "could not normalize the image: ", "the picture was refused: "];
    steps.iter().fold(message, |message, step| message.strip_prefix(step).unwrap_or(message))
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn titled(title: &str) -> Block<'_> {
    Block::new().borders(Borders::TOP).title(Line::styled(format!("{title} "), bold()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::inspect::Counts;
    use darkroom_jobs::Kind;

    #[test]
    fn a_page_shows_a_paused_queue_and_says_what_there_is_none_of() {
        let counts = Counts { kind: Kind::Upload, active: 1_234, scheduled: 0, leased: 0, done: 5, dead: 0 };
        let settled = [("done".to_owned(), 5)].into();
        let stats =
            QueueStats { counts, paused: true, oldest_ready_ms: Some(90_000), dead_bytes: 0, settled };
        let view = View { queues: vec![stats], running: Vec::new(), failures: Vec::new() };

        let text = view.text();

        let row = text.lines().find(|line| line.starts_with("upload")).expect("each queue has a row");
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words, ["upload", "1234", "0", "0", "5", "0", "1", "min", "paused"]);
        assert!(text.contains("nothing is running") && text.contains("no dead jobs"), "{text}");
    }

    #[test]
    fn a_page_that_is_too_low_for_everything_is_no_panic() {
        let view = View { queues: Vec::new(), running: Vec::new(), failures: Vec::new() };
        let area = Rect::new(0, 0, 20, 2);

        view.draw("note", area, &mut Buffer::empty(area));
    }
}
