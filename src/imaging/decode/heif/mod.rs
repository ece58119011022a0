//! HEIC and AVIF → pixels: tile by tile into one picture, of which only what is shown is painted.

mod av1;
mod hevc;
mod planes;

use darkroom_resize::{lanczos3_u8, lanczos3_u16};

use super::Decoded;
use crate::imaging::{
    Limits,
    error::Error,
    header::{
        Header,
        colors::Colors,
        heif::picture::{CodePoints, Codec, Layer, Picture, Tile},
    },
    limits::check_decoded,
    raster::{Raster, Samples},
};
use planes::{Canvas, Conversion, Depth, Window, nearest};

pub(in crate::imaging) const HEVC_LIBRARY: &str = "heifer";
pub(in crate::imaging) const AV1_LIBRARY: &str = "re_rav1d";

pub(super) fn decode(original: &[u8], header: &Header, limits: &Limits) -> Result<Decoded, Error> {
    let picture = Picture::read(original, limits)?;
    if (picture.shape.width, picture.shape.height) != (header.width, header.height) {
        return Err(Error::corrupt("a header that can be read in two ways"));
    }
    let channels = u8::try_from(header.pixel.channels).expect("at most 4");
    let (samples, colors) = if header.pixel.bytes == 1 {
        let (samples, colors) = painted::<u8>(&picture, channels)?;
        (Samples::U8(samples), colors)
    } else {
        let (samples, colors) = painted::<u16>(&picture, channels)?;
        (Samples::U16(samples), colors)
    };
    let raster = Raster { width: header.width, height: header.height, channels, samples };
    Ok(Decoded { raster, missing_rows: false, colors })
}

/// What is shown of a picture, and what its stream says of its colors where the file is silent.
fn painted<S: Depth>(picture: &Picture<'_>, channels: u8) -> Result<(Vec<S>, Option<Colors>), Error> {
    let shape = &picture.shape;
    let shown = Window { left: shape.left, top: shape.top, width: shape.width, height: shape.height };
    let (mut samples, meaning) = layer::<S>(picture, &picture.color, shown, channels)?;
    if let Some(alpha) = &picture.alpha {
        put_alpha(&mut samples, channels, &shown_alpha(picture, alpha, shown)?);
    }
    let colors = match (picture.icc, picture.color.meaning.and_then(|told| told.colors())) {
        (None, None) => meaning.colors(),
        _ => None,
    };
    Ok((samples, colors))
}

fn put_alpha<S: Depth>(samples: &mut [S], channels: u8, alpha: &[S]) {
    for (pixel, alpha) in samples.chunks_exact_mut(usize::from(channels)).zip(alpha) {
        if let Some(last) = pixel.last_mut() {
            *last = *alpha;
        }
    }
}

/// One sample for each shown pixel; alpha of other sides than its colors is resized to theirs.
fn shown_alpha<S: Depth>(picture: &Picture<'_>, alpha: &Layer<'_>, shown: Window) -> Result<Vec<S>, Error> {
    let (color, sides) = (&picture.color, (alpha.width, alpha.height));
    if sides == (color.width, color.height) {
        return Ok(layer::<S>(picture, alpha, shown, 1)?.0);
    }
    let whole = Window { left: 0, top: 0, width: alpha.width, height: alpha.height };
    let (samples, _) = layer::<S>(picture, alpha, whole, 1)?;
    let resized = S::resized(&samples, sides, (color.width, color.height))?;
    let rows =
        resized.chunks_exact(color.width as usize).skip(shown.top as usize).take(shown.height as usize);
    Ok(rows.flat_map(|row| &row[shown.left as usize..][..shown.width as usize]).copied().collect())
}

/// What is shown of a layer, and what its stream says that its numbers mean.
fn layer<S: Depth>(
    picture: &Picture<'_>,
    layer: &Layer<'_>,
    shown: Window,
    channels: u8,
) -> Result<(Vec<S>, CodePoints), Error> {
    let samples = u64::from(shown.width) * u64::from(shown.height) * u64::from(channels);
    check_decoded(samples * size_of::<S>() as u64)?;
    let mut canvas = Canvas::new(shown.width, shown.height, channels);
    let mut said = None;
    for (index, tile) in (0_u32..).zip(&layer.tiles) {
        let at = (index % layer.columns * layer.tile.0, index / layer.columns * layer.tile.1);
        let place = Window { left: at.0, top: at.1, width: layer.tile.0, height: layer.tile.1 };
        let Some(seen) = place.common(&shown) else { continue };
        let meaning = paint(picture, tile, layer, &mut canvas, seen, (place, shown))?;
        said.get_or_insert(meaning);
    }
    let meaning = said.ok_or_else(|| Error::corrupt("nothing of the picture is shown"))?;
    Ok((canvas.into_samples(), meaning))
}

/// Decodes a tile and paints what is seen of it.
fn paint<S: Depth>(
    picture: &Picture<'_>,
    tile: &Tile<'_>,
    layer: &Layer<'_>,
    canvas: &mut Canvas<S>,
    seen: Window,
    (place, shown): (Window, Window),
) -> Result<CodePoints, Error> {
    let data = picture.items.data(tile.id)?;
    let from = seen.relative_to(&place);
    let to = (seen.left - shown.left, seen.top - shown.top);
    match tile.codec {
        Codec::Hevc => {
            let decoded = hevc::decode(tile.config, &data, layer.tile, layer.samples)?;
            let planes = decoded.planes();
            let conversion = Conversion::new::<S>(&planes.coding, &told(layer.meaning, decoded.meaning))?;
            canvas.paint(&planes, &conversion, from, to);
            Ok(decoded.meaning)
        }
        Codec::Av1 => {
            let decoded = av1::decode(&data, layer.tile, layer.samples, tile.operating_point)?;
            let meaning = decoded.meaning();
            let conversion = |coding: &_| Conversion::new::<S>(coding, &told(layer.meaning, meaning));
            match decoded.planes() {
                av1::Planes::Shallow(planes) => {
                    canvas.paint(&planes, &conversion(&planes.coding)?, from, to);
                }
                av1::Planes::Deep(planes) => canvas.paint(&planes, &conversion(&planes.coding)?, from, to),
            }
            Ok(meaning)
        }
    }
}

/// What the file says goes before what the stream says; a matrix that it does not say is the stream's.
fn told(file: Option<CodePoints>, stream: CodePoints) -> CodePoints {
    const NOT_SAID: u16 = 2;
    match file {
        Some(told) if told.matrix == NOT_SAID => CodePoints { matrix: stream.matrix, ..told },
        Some(told) => told,
        None => stream,
    }
}

/// Most pixels that a tile of these sides may be coded in: no room is made for a stream that claims more.
fn most_pixels((width, height): (u32, u32)) -> u32 {
    /// The largest block of both codecs, less one.
    const PADDING: u32 = 127;
    (width + PADDING).saturating_mul(height + PADDING)
}

impl Depth for u8 {
    const FULL: f32 = 255.0;

    fn of(level: f32) -> Self {
        nearest(level, Self::FULL) as u8
    }

    fn resized(samples: &[Self], from: (u32, u32), to: (u32, u32)) -> Result<Vec<Self>, Error> {
        lanczos3_u8(samples, 1, from, to).map_err(Error::corrupt)
    }
}

impl Depth for u16 {
    const FULL: f32 = 65_535.0;

    fn of(level: f32) -> Self {
        nearest(level, Self::FULL) as u16
    }

    fn resized(samples: &[Self], from: (u32, u32), to: (u32, u32)) -> Result<Vec<Self>, Error> {
        lanczos3_u16(samples, 1, from, to).map_err(Error::corrupt)
    }
}
