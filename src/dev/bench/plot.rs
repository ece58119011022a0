//! A picture of what a job costs, against the jobs that wait behind it.

use std::fmt::Write as _;

use super::Figures;

/// Size of the picture, in px.
const SIZE: (f64, f64) = (720.0, 400.0);
/// Space around the curves for the words: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (60.0, 50.0, 40.0, 50.0);

/// One curve: its name, its color, and what it shows of the figures.
type Curve = (&'static str, &'static str, fn(&Figures) -> f64);

const CURVES: [Curve; 3] = [
    ("Redis, enqueue to receipt", "#c0392b", |f| f.redis_enqueue_cpu_us_per_job + f.redis_cpu_us_per_job),
    ("Redis, enqueue alone", "#e59866", |f| f.redis_enqueue_cpu_us_per_job),
    ("worker", "#2471a3", |f| f.worker_cpu_us_per_job),
];

/// Where figures lie in the picture.
struct Axes {
    /// Decades of the backlog, first and last.
    decades: (f64, f64),
    /// Most µs, a multiple of 10.
    most_us: f64,
}

impl Axes {
    fn of(all: &[Figures]) -> Self {
        let decades = all.iter().map(|figures| f64::from(figures.backlog.max(1)).log10());
        let first = decades.clone().fold(f64::INFINITY, f64::min).floor();
        let last = decades.fold(first + 1.0, f64::max).ceil();
        let costs = all.iter().flat_map(|figures| CURVES.map(|(_, _, cost)| cost(figures)));
        let most_us = (costs.fold(1.0, f64::max) * 1.15 / 10.0).ceil() * 10.0;
        Self { decades: (first, last), most_us }
    }

    fn x(&self, decade: f64) -> f64 {
        let (first, last) = self.decades;
        MARGIN.0 + (SIZE.0 - MARGIN.0 - MARGIN.2) * (decade - first) / (last - first)
    }

    fn y(&self, us: f64) -> f64 {
        SIZE.1 - MARGIN.3 - (SIZE.1 - MARGIN.1 - MARGIN.3) * us / self.most_us
    }
}

/// An SVG of the figures, which are of one machine and of different backlogs; `note` says of what.
pub fn svg(all: &[Figures], note: &str) -> String {
    let axes = Axes::of(all);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        SIZE.0, SIZE.1
    );
    grid(&mut svg, &axes);
    for (number, curve) in CURVES.iter().enumerate() {
        draw(&mut svg, &axes, all, curve);
        let x = MARGIN.0 + 200.0 * number as f64;
        text(&mut svg, (x, 20.0), "start", curve.1, curve.0);
    }
    text(&mut svg, (MARGIN.0, 38.0), "start", "#666", note);
    svg.push_str("</svg>\n");
    svg
}

fn grid(svg: &mut String, axes: &Axes) {
    let (left, right) = (axes.x(axes.decades.0), axes.x(axes.decades.1));
    for step in 0..=5 {
        let us = axes.most_us * f64::from(step) / 5.0;
        let y = axes.y(us);
        let _ = writeln!(svg, "<path d=\"M{left:.0} {y:.1}H{right:.0}\" stroke=\"#ddd\"/>");
        text(svg, (left - 6.0, y + 4.0), "end", "#333", &format!("{us:.0} µs"));
    }
    let mut decade = axes.decades.0;
    while decade <= axes.decades.1 {
        text(svg, (axes.x(decade), SIZE.1 - 30.0), "middle", "#333", &format!("{}", 10_f64.powf(decade)));
        decade += 1.0;
    }
    text(svg, ((left + right) / 2.0, SIZE.1 - 10.0), "middle", "#333", "jobs that wait; CPU a job");
}

fn draw(svg: &mut String, axes: &Axes, all: &[Figures], (_, color, cost): &Curve) {
    let point = |figures: &Figures| {
        (axes.x(f64::from(figures.backlog.max(1)).log10()), axes.y(cost(figures)), cost(figures))
    };
    let points: Vec<_> = all.iter().map(point).collect();
    let line: Vec<_> = points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
    let line = line.join(" ");
    let _ =
        writeln!(svg, "<polyline points=\"{line}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>");
    for (x, y, us) in points {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>");
        text(svg, (x, y - 8.0), "middle", color, &format!("{us:.0}"));
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, color: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{color}\">{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(backlog: u32, cost: f64) -> Figures {
        Figures {
            backlog,
            redis_enqueue_cpu_us_per_job: 10.0,
            redis_cpu_us_per_job: cost,
            worker_cpu_us_per_job: 25.0,
            enqueue_per_s: 1.0,
            drain_per_s: 1.0,
            bytes_per_waiting_job: 1.0,
            commands_per_job: 1.0,
            script_p999_us: None,
        }
    }

    #[test]
    fn a_figure_is_drawn_where_its_backlog_and_its_cost_are() {
        let all = [figures(1_000, 30.0), figures(1_000_000, 40.0)];

        let svg = svg(&all, "R&D <1>");

        let axes = Axes::of(&all);
        assert_eq!((axes.decades, axes.most_us), ((3.0, 6.0), 60.0));
        assert!(svg.contains(&format!("cx=\"{:.1}\" cy=\"{:.1}\"", axes.x(6.0), axes.y(50.0))), "{svg}");
        assert!(svg.contains("R&amp;D &lt;1>") && svg.ends_with("</svg>\n"), "{svg}");
    }

    #[test]
    fn one_figure_without_a_backlog_has_a_picture_too() {
        assert!(!svg(&[figures(0, 30.0)], "").contains("NaN"));
    }
}
