//! The picture that a file means: its coded parts, how they lie, and what is done to them.

use super::{
    boxes::{Fields, find, find_in},
    items::Items,
    shape::Shape,
};
use crate::imaging::{Limits, error::Error};

/// Pictures of pictures of pictures.
const MAX_DERIVED: usize = 4;

/// Bytes of coded parts beyond those of the file: parts may be shared.
const MAX_SHARED_BYTES: u64 = 16 << 20;

/// What a coded part is coded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::imaging) enum Codec {
    Hevc,
    Av1,
}

/// A coded picture, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(in crate::imaging) struct Tile<'a> {
    /// Number of its item.
    pub id: u32,
    pub codec: Codec,
    /// `hvcC` or `av1C`.
    pub config: &'a [u8],
    /// Of the layers of an AV1 picture, the one that is meant.
    pub operating_point: u8,
}

/// Color, or alpha.
#[derive(Clone, Debug)]
pub(in crate::imaging) struct Layer<'a> {
    /// px
    pub width: u32,
    /// px
    pub height: u32,
    /// Tiles in a row.
    pub columns: u32,
    /// Sides of each tile, px; those at the right and at the bottom may be larger than their place.
    pub tile: (u32, u32),
    /// Row by row.
    pub tiles: Vec<Tile<'a>>,
    pub samples: Coded,
    /// Most frames that a tile is made of, of which one is shown.
    pub frames: u32,
    /// What the numbers mean, where the file says it and not only the stream.
    pub meaning: Option<CodePoints>,
}

/// Samples as they are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::imaging) struct Coded {
    pub bits: u8,
    pub grey: bool,
    /// Samples of all channels for each pixel, in quarters.
    pub quarters: u32,
}

/// What ITU-T H.273 says of numbers; 2 is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::imaging) struct CodePoints {
    pub primaries: u16,
    pub transfer: u16,
    pub matrix: u16,
    pub full_range: bool,
}

/// The picture that a file means.
#[derive(Debug)]
pub(in crate::imaging) struct Picture<'a> {
    pub items: Items<'a>,
    pub color: Layer<'a>,
    pub alpha: Option<Layer<'a>>,
    /// Whether colors were multiplied by alpha.
    pub premultiplied: bool,
    pub shape: Shape,
    /// Content of its property `colr` that is a profile.
    pub icc: Option<&'a [u8]>,
    /// Pictures of the film beside it.
    pub frames: u32,
}

impl<'a> Picture<'a> {
    /// Reads what a file means, within the limits.
    pub fn read(file: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let film = find(file, b"moov");
        let Some(meta) = super::meta(file)? else {
            return Err(match film {
                Some(_) => Error::Unsupported("image/heif-sequence"),
                None => Error::truncated("a heif without a picture"),
            });
        };
        let items = Items::read(file, meta)?;
        let primary = match (items.primary, film) {
            (Some(primary), _) => primary,
            (None, Some(_)) => return Err(Error::Unsupported("image/heif-sequence")),
            (None, None) => return Err(Error::corrupt("a heif that does not say which picture is meant")),
        };
        Self::of(items, primary, film.map_or(1, frames), limits)
    }

    fn of(items: Items<'a>, primary: u32, frames: u32, limits: &Limits) -> Result<Self, Error> {
        let chain = chain(&items, primary)?;
        let coded = *chain.last().expect("the picture itself");
        let color = Layer::of(&items, coded, limits)?;
        let mut shape = Shape::of(color.width, color.height);
        for id in chain.iter().rev() {
            for (name, content) in items.properties_of(*id) {
                shape.take(&name, content)?;
            }
        }
        let alpha = chain.iter().find_map(|id| alpha_of(&items, *id));
        let premultiplied =
            alpha.is_some_and(|alpha| chain.iter().any(|id| items.referred(*id, b"prem").contains(&alpha)));
        let alpha = match alpha {
            Some(alpha) => Some(Layer::of(&items, alpha, limits)?),
            None => None,
        };
        let first = color.tiles[0].id;
        let icc = chain.iter().chain([&first]).find_map(|id| profile(&items, *id));
        let mut picture = Self { color, alpha, premultiplied, shape, icc, frames, items };
        picture.check_bytes()?;
        let alpha = picture.alpha.as_mut();
        for layer in [Some(&mut picture.color), alpha].into_iter().flatten() {
            layer.count_frames(&picture.items, limits)?;
        }
        Ok(picture)
    }

    /// Whether the profile is about one channel.
    pub fn has_grey_profile(&self) -> bool {
        self.icc.is_none_or(|icc| icc.get(16..20) == Some(b"GRAY"))
    }

    fn layers(&self) -> impl Iterator<Item = &Layer<'a>> {
        [Some(&self.color), self.alpha.as_ref()].into_iter().flatten()
    }

    fn check_bytes(&self) -> Result<(), Error> {
        let tiles = self.layers().flat_map(|layer| &layer.tiles);
        let bytes = tiles.map(|tile| self.items.length(tile.id)).sum::<Result<u64, _>>()?;
        if bytes > self.items.file_bytes() + MAX_SHARED_BYTES {
            return Err(Error::TooComplex("the same bytes are meant again and again".into()));
        }
        Ok(())
    }
}

impl<'a> Layer<'a> {
    fn of(items: &Items<'a>, id: u32, limits: &Limits) -> Result<Self, Error> {
        let single = Grid { columns: 1, rows: 1, width: 0, height: 0 };
        let sides = items.property(id, b"ispe").map(sides).transpose()?;
        let (grid, parts) = match &items.get(id)?.kind {
            b"grid" => (Grid::read(&items.data(id)?)?, items.referred(id, b"dimg").to_vec()),
            _ => (single, vec![id]),
        };
        let first = *parts.first().ok_or_else(|| Error::corrupt("a grid of nothing"))?;
        let tile = items.property(first, b"ispe").ok_or_else(|| Error::corrupt("a picture without sides"))?;
        let tile = self::sides(tile)?;
        let (width, height) = if grid == single { tile } else { (grid.width, grid.height) };
        if sides.is_some_and(|sides| sides != (width, height)) {
            return Err(Error::corrupt("a grid of other sides than its picture"));
        }
        limits.check_size(width, height)?;
        limits.check_size(tile.0, tile.1)?;
        grid.check((width, height), tile, parts.len())?;
        let tiles = parts.iter().map(|part| coded_part(items, *part, tile)).collect::<Result<Vec<_>, _>>()?;
        let samples = tiles[0].coded()?;
        let meaning = [id, first].into_iter().find_map(|id| code_points(items, id));
        Ok(Self { width, height, columns: grid.columns, tile, tiles, samples, frames: 1, meaning })
    }

    /// Every frame costs as much as the one that is shown.
    fn count_frames(&mut self, items: &Items<'a>, limits: &Limits) -> Result<(), Error> {
        for tile in self.tiles.iter().filter(|tile| tile.codec == Codec::Av1) {
            let frames = av1_frames(&items.data(tile.id)?);
            limits.check_scans(frames, self.tile.0, self.tile.1)?;
            self.frames = self.frames.max(frames);
        }
        Ok(())
    }
}

impl Tile<'_> {
    /// Samples as the configuration tells them.
    fn coded(&self) -> Result<Coded, Error> {
        let byte = |at: usize| {
            self.config.get(at).copied().ok_or_else(|| Error::corrupt("a configuration that ends too early"))
        };
        let (chroma, bits) = match self.codec {
            Codec::Hevc => (byte(16)? & 3, 8 + (byte(17)? & 7).max(byte(18)? & 7)),
            Codec::Av1 => {
                let flags = byte(2)?;
                let bits = [8, 8, 10, 12][usize::from(flags >> 5 & 3)];
                let chroma = match (flags >> 4 & 1, flags >> 3 & 1, flags >> 2 & 1) {
                    (1, ..) => 0,
                    (_, 1, 1) => 1,
                    (_, 1, 0) => 2,
                    _ => 3,
                };
                (chroma, bits)
            }
        };
        Ok(Coded { bits, grey: chroma == 0, quarters: Coded::quarters(chroma) })
    }
}

impl Coded {
    /// Quarters for the number that HEVC has for a format of colors.
    pub fn quarters(format: u8) -> u32 {
        [4, 6, 8, 12][usize::from(format & 3)]
    }
}

/// How tiles lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    columns: u32,
    rows: u32,
    width: u32,
    height: u32,
}

impl Grid {
    fn read(content: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::of(content);
        let (_, flags) = (fields.u8()?, fields.u8()?);
        let (rows, columns) = (u32::from(fields.u8()?) + 1, u32::from(fields.u8()?) + 1);
        let wide = flags & 1 == 1;
        Ok(Self { columns, rows, width: fields.id(wide)?, height: fields.id(wide)? })
    }

    /// Every tile has a place, and no place is without one.
    fn check(&self, sides: (u32, u32), tile: (u32, u32), tiles: usize) -> Result<(), Error> {
        let fits = |side: u32, tile: u32, count: u32| {
            let (side, tile, count) = (u64::from(side), u64::from(tile), u64::from(count));
            tile * count >= side && tile * (count - 1) < side
        };
        if tiles as u64 != u64::from(self.columns) * u64::from(self.rows)
            || !fits(sides.0, tile.0, self.columns)
            || !fits(sides.1, tile.1, self.rows)
        {
            return Err(Error::corrupt("a grid whose tiles do not fit"));
        }
        Ok(())
    }
}

/// The picture, and what it is derived from by turning and cutting alone.
fn chain(items: &Items<'_>, primary: u32) -> Result<Vec<u32>, Error> {
    let mut chain = vec![primary];
    let mut last = primary;
    while items.get(last)?.kind == *b"iden" {
        let [source] = items.referred(last, b"dimg") else {
            return Err(Error::corrupt("a picture derived from none"));
        };
        if chain.len() == MAX_DERIVED {
            return Err(Error::TooComplex(format!("over {MAX_DERIVED} pictures derived from each other")));
        }
        last = *source;
        chain.push(last);
    }
    Ok(chain)
}

fn coded_part<'a>(items: &Items<'a>, id: u32, expected: (u32, u32)) -> Result<Tile<'a>, Error> {
    let (codec, config) = match &items.get(id)?.kind {
        b"hvc1" | b"hev1" => (Codec::Hevc, b"hvcC"),
        b"av01" => (Codec::Av1, b"av1C"),
        b"grid" | b"iden" => return Err(Error::corrupt("a grid of grids")),
        b"iovl" => return Err(Error::Unsupported("image/heif with overlays")),
        b"avc1" => return Err(Error::Unsupported("image/heif with h.264")),
        b"vvc1" => return Err(Error::Unsupported("image/heif with h.266")),
        b"jpeg" => return Err(Error::Unsupported("image/heif with jpeg")),
        b"j2k1" => return Err(Error::Unsupported("image/heif with jpeg 2000")),
        b"unci" => return Err(Error::Unsupported("image/heif without compression")),
        _ => return Err(Error::Unsupported("image/heif of unknown coding")),
    };
    let config =
        items.property(id, config).ok_or_else(|| Error::corrupt("a picture without configuration"))?;
    if items.property(id, b"ispe").map(sides).transpose()? != Some(expected) {
        return Err(Error::corrupt("tiles of different sides"));
    }
    let operating_point = items.property(id, b"a1op").and_then(|content| content.first().copied());
    Ok(Tile { id, codec, config, operating_point: operating_point.unwrap_or_default() & 31 })
}

fn alpha_of(items: &Items<'_>, id: u32) -> Option<u32> {
    const ALPHA: [&[u8]; 2] = [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];
    // None is the alpha of itself.
    items.referring(id, b"auxl").filter(|auxiliary| *auxiliary != id).find(|auxiliary| {
        let kind = items.property(*auxiliary, b"auxC").and_then(|content| content.get(4..));
        kind.is_some_and(|kind| ALPHA.contains(&Fields::of(kind).text()))
    })
}

/// `ispe`
fn sides(content: &[u8]) -> Result<(u32, u32), Error> {
    let (mut fields, ..) = Fields::versioned(content)?;
    Ok((fields.u32()?, fields.u32()?))
}

fn profile<'a>(items: &Items<'a>, id: u32) -> Option<&'a [u8]> {
    let colors = items.properties_of(id).filter(|(name, _)| name == b"colr");
    let mut profiles = colors
        .filter_map(|(_, content)| content.strip_prefix(b"prof").or_else(|| content.strip_prefix(b"rICC")));
    profiles.find(|profile| !profile.is_empty())
}

fn code_points(items: &Items<'_>, id: u32) -> Option<CodePoints> {
    let colors = items.properties_of(id).filter(|(name, _)| name == b"colr");
    let mut points = colors.filter_map(|(_, content)| content.strip_prefix(b"nclx"));
    let mut fields = Fields::of(points.next()?);
    let mut number = || fields.u16().ok();
    let (primaries, transfer, matrix) = (number()?, number()?, number()?);
    Some(CodePoints { primaries, transfer, matrix, full_range: fields.u8().ok()? & 0x80 != 0 })
}

/// Pictures of the first film.
fn frames(film: &[u8]) -> u32 {
    let sizes = find_in(film, &[b"trak", b"mdia", b"minf", b"stbl", b"stsz"]);
    let count = sizes.and_then(|sizes| Fields::of(sizes.get(8..)?).u32().ok());
    count.unwrap_or(1).max(1)
}

/// Frames of an AV1 stream.
fn av1_frames(stream: &[u8]) -> u32 {
    const FRAME_HEADER: u8 = 3;
    const FRAME: u8 = 6;
    let frames = av1_units(stream).filter(|(kind, _)| matches!(*kind, FRAME_HEADER | FRAME)).count();
    u32::try_from(frames).unwrap_or(u32::MAX)
}

/// Units of an AV1 stream, with their kinds; each says its length, with few exceptions, which go to the end.
pub(in crate::imaging) fn av1_units(stream: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let (unit, (head, behind)) = (rest, rest.split_first()?);
        let (has_extension, has_length) = (head & 4 != 0, head & 2 != 0);
        let content = behind.get(usize::from(has_extension)..).unwrap_or_default();
        let length = if has_length { unit_length(content) } else { None };
        rest =
            length.and_then(|(bytes, length)| content.get(bytes.checked_add(length)?..)).unwrap_or_default();
        Some((head >> 3 & 15, &unit[..unit.len() - rest.len()]))
    })
}

/// Seven bits in each byte, the lowest first, and how many bytes they take.
fn unit_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let last = bytes.iter().take(8).position(|byte| byte & 0x80 == 0)?;
    let bits = bytes[..=last].iter().rev();
    Some((last + 1, bits.fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f))))
}
