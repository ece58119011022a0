//! Makes a smaller photo of a file, and says what it cost:
//! `normalize IN OUT [MAX] [QUALITY] [ROUNDS] [ORIENTATION] [portable] [wide]`.
//!
//! Prints the least CPU time of all rounds, ms, and the bytes of the result. `portable` takes the kernels for every processor, `wide` takes
//! the colors for those of Display P3.

use std::{env, error::Error, fs, sync::Arc};

use darkroom_jpeg::{Color, Kernels, Limits, Orientation, Plan, Scratch, normalize};

fn main() -> Result<(), Box<dyn Error>> {
    let (words, args): (Vec<_>, Vec<_>) = env::args().partition(|arg| arg == "portable" || arg == "wide");
    let number = |at: usize, default: u32| args.get(at).map_or(Ok(default), |text| text.parse());
    let [_, input, output, ..] = &args[..] else {
        return Err("normalize IN OUT [MAX] [QUALITY] [ROUNDS]".into());
    };
    let plan = Plan {
        max_side: number(3, 2048)?,
        quality: number(4, 82)? as u8,
        orientation: Orientation::from_exif(number(6, 1)? as u8),
        color: words.contains(&"wide".to_owned()).then(|| Arc::new(display_p3())),
        ..Plan::default()
    };
    let limits =
        Limits { max_pixels: 100_000_000, max_side: 20_000, max_scans: 64, max_work: 15_000_000_000 };
    let bytes = fs::read(input)?;
    let portable = words.contains(&"portable".to_owned());
    let mut scratch = if portable { Scratch::new(Kernels::Portable) } else { Scratch::default() };
    let mut least = u64::MAX;
    for _ in 0..number(5, 1)?.max(1) {
        let before = cpu_ns()?;
        let made = normalize(&bytes, &plan, &limits, &mut scratch)?;
        least = least.min(cpu_ns()? - before);
        fs::write(output, made.jpeg)?;
    }
    println!("{:.2} ms, {} bytes", least as f64 / 1e6, fs::metadata(output)?.len());
    Ok(())
}

/// Time that this thread had a processor, as Linux counts it.
fn cpu_ns() -> Result<u64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().ok_or("no time")?.parse()?)
}

fn display_p3() -> Color {
    let light =
        |value: f32| if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
    let curve = std::array::from_fn(|value| light(value as f32 / 255.0));
    // To sRGB, both of D65: CSS Color 4.
    let matrix = [[1.224_94, -0.224_94, 0.0], [-0.042_06, 1.042_06, 0.0], [-0.019_64, -0.078_64, 1.098_28]];
    Color::new(&[curve; 3], &matrix)
}
