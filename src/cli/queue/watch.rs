//! The loop of `darkroom queue watch`: looks, draws, listens to keys.

use std::{io::IsTerminal as _, time::Duration};

use anyhow::Context as _;
use darkroom_jobs::{Kind, Status};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyModifiers},
};
use redis::RedisError;

use super::page::View;
use crate::{
    cli::{connect, out, signal::stop_signal},
    queue::inspect::Inspector,
};

/// Running jobs that are shown.
const RUNNING: usize = 15;
/// Dead jobs that are shown.
const FAILURES: usize = 10;
/// How often keys are looked at.
const KEYS: Duration = Duration::from_millis(50);

/// Shows the page until it is ended; once on anything that is no terminal, or when told so.
///
/// # Errors
///
/// When Redis does not answer the first time, or the terminal cannot be used.
pub async fn run(inspector: &Inspector, interval: Duration, once: bool, json: bool) -> anyhow::Result<()> {
    let live = !once && std::io::stdout().is_terminal();
    let view = look(inspector).await.context(connect::AWAY)?;
    if json {
        out::line(serde_json::to_string(&view)?)?;
        return if live { repeat(inspector, interval).await } else { Ok(()) };
    }
    if !live {
        return out::line(view.text());
    }
    let mut terminal = ratatui::try_init().context("the terminal cannot be drawn on; try --once")?;
    let ended = follow(&mut terminal, inspector, view, interval).await;
    ratatui::restore();
    ended
}

/// One JSON object at each look.
async fn repeat(inspector: &Inspector, interval: Duration) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(interval).await;
        let view = look(inspector).await.context(connect::AWAY)?;
        out::line(serde_json::to_string(&view)?)?;
    }
}

async fn follow(
    terminal: &mut DefaultTerminal,
    inspector: &Inspector,
    mut view: View,
    interval: Duration,
) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    tokio::pin!(stop);
    let mut looks = tokio::time::interval(interval);
    let mut keys = tokio::time::interval(KEYS);
    let mut note = String::from(HELP);
    let mut changed = true;
    loop {
        if changed {
            terminal.draw(|frame| view.draw(&note, frame.area(), frame.buffer_mut()))?;
        }
        changed = true;
        tokio::select! {
            _ = &mut stop => return Ok(()),
            _ = looks.tick() => match look(inspector).await {
                Ok(fresh) => (view, note) = (fresh, HELP.to_owned()),
                // The page stays: Redis may be back in a second.
                Err(error) => note = format!("{}: {error}", connect::AWAY),
            },
            _ = keys.tick() => match pressed()? {
                Pressed::End => return Ok(()),
                Pressed::Resized => {}
                Pressed::Nothing => changed = false,
            },
        }
    }
}

const HELP: &str = "q ends";

/// What came from the terminal.
enum Pressed {
    Nothing,
    Resized,
    End,
}

/// Takes what came from the terminal. Never waits for it.
fn pressed() -> std::io::Result<Pressed> {
    let mut pressed = Pressed::Nothing;
    while event::poll(Duration::ZERO)? {
        match event::read()? {
            Event::Key(key) => {
                let interrupted =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if interrupted || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(Pressed::End);
                }
            }
            Event::Resize(..) => pressed = Pressed::Resized,
            _ => {}
        }
    }
    Ok(pressed)
}

async fn look(inspector: &Inspector) -> Result<View, RedisError> {
    let mut view = View { queues: Vec::new(), running: Vec::new(), failures: Vec::new() };
    for kind in Kind::ALL {
        view.queues.push(inspector.stats(kind).await?);
        view.running.extend(inspector.running(kind, RUNNING).await?);
        view.failures.extend(inspector.list(kind, Some(Status::Failed), FAILURES).await?);
    }
    view.running.sort_by_key(|job| std::cmp::Reverse(job.running_ms));
    view.running.truncate(RUNNING);
    view.failures.sort_by_key(|receipt| std::cmp::Reverse(receipt.finished_at));
    view.failures.truncate(FAILURES);
    Ok(view)
}
