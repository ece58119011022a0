//! HEVC → planes. This decoder starts no thread (that of whole files, which is not used, does): the sandbox allows none.

use heifer::heifer_hevc_dec::{
    Error as HevcError,
    decoder::{DecodeOptions, decode_picture},
    nal::{NalUnit, NalUnitType, split_annex_b},
    params::{ParameterSets, Sps},
    recon::Frame,
};

use super::{
    most_pixels,
    planes::{Coding, Plane, Planes},
};
use crate::imaging::{
    error::Error,
    header::heif::{
        boxes::Fields,
        picture::{CodePoints, Coded},
    },
};

/// Before each unit of a stream.
const START: [u8; 4] = [0, 0, 0, 1];

/// A decoded tile.
pub(super) struct Decoded {
    frame: Frame,
    /// What the stream says of its numbers.
    pub meaning: CodePoints,
}

/// Decodes what is to have these sides and samples, or is coded a little larger.
pub(super) fn decode(
    config: &[u8],
    data: &[u8],
    sides: (u32, u32),
    samples: Coded,
) -> Result<Decoded, Error> {
    let stream = stream(config, data)?;
    let max_pixels = u64::from(most_pixels(sides));
    let sets = parameters(&stream, max_pixels, samples)?;
    let options = DecodeOptions { max_pixels, ..DecodeOptions::default() };
    let frame = decode_picture(&stream, options).map_err(hevc_error)?;
    if frame.widths[0] < sides.0 || frame.heights[0] < sides.1 {
        return Err(Error::corrupt("a picture smaller than it says"));
    }
    let meaning = meaning(&sets, &frame);
    Ok(Decoded { frame, meaning })
}

impl Decoded {
    pub fn planes(&self) -> Planes<'_, u16> {
        let frame = &self.frame;
        let plane = |index: usize| Plane {
            samples: &frame.planes[index],
            stride: frame.widths[index] as usize,
            width: frame.widths[index] as usize,
            height: frame.heights[index] as usize,
        };
        let grey = frame.widths[1] == 0 || frame.heights[1] == 0;
        Planes {
            luma: plane(0),
            chroma: (!grey).then(|| [plane(1), plane(2)]),
            coding: Coding {
                luma_bits: frame.bit_depth[0],
                chroma_bits: frame.bit_depth[1],
                half_width: matches!(frame.chroma_format, 1 | 2),
                half_height: frame.chroma_format == 1,
            },
        }
    }
}

/// The stream that the decoder takes: parameters of the configuration, then the units of the item, which have lengths.
fn stream(config: &[u8], data: &[u8]) -> Result<Vec<u8>, Error> {
    const LENGTHS_AT: usize = 21;
    let mut stream = Vec::with_capacity(config.len() + data.len() + data.len() / 64);
    let mut fields = Fields::of(config);
    let length_bytes = usize::from(fields.take(LENGTHS_AT + 1)?[LENGTHS_AT] & 3) + 1;
    for _ in 0..fields.u8()? {
        fields.u8()?;
        for _ in 0..fields.u16()? {
            let length = usize::from(fields.u16()?);
            stream.extend_from_slice(&START);
            stream.extend_from_slice(fields.take(length)?);
        }
    }
    let mut units = Fields::of(data);
    while !units.rest().is_empty() {
        let early = || Error::truncated("the pixels end too early");
        let length = units.take(length_bytes).map_err(|_| early())?;
        let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        stream.extend_from_slice(&START);
        stream.extend_from_slice(units.take(length).map_err(|_| early())?);
    }
    Ok(stream)
}

/// What the stream says, wherever: no room is made for more than was told. Depth costs nothing, as every sample is a word.
fn parameters(stream: &[u8], max_pixels: u64, samples: Coded) -> Result<ParameterSets, Error> {
    let mut sets = ParameterSets::default();
    let units = split_annex_b(stream).filter(|unit| !is_slice(unit));
    for unit in units.filter_map(|unit| NalUnit::parse(unit).ok()) {
        // One that cannot be read is none; the decoder says so if it needs it.
        sets.add(&unit).ok();
        if unit.header.unit_type != NalUnitType::Sps {
            continue;
        }
        if sets.sps.iter().flatten().any(|set| pixels(set) > max_pixels) {
            return Err(Error::corrupt("a picture larger than it says"));
        }
        if sets.sps.iter().flatten().any(|set| Coded::quarters(set.chroma_format_idc) > samples.quarters) {
            return Err(Error::corrupt("a picture of more samples than it says"));
        }
    }
    Ok(sets)
}

/// Of what its kind tells, which is in the first byte, without a copy of it.
fn is_slice(unit: &[u8]) -> bool {
    const FIRST_OTHER: u8 = 32;
    unit.first().is_none_or(|byte| byte >> 1 & 63 < FIRST_OTHER)
}

fn pixels(set: &Sps) -> u64 {
    u64::from(set.pic_width_in_luma_samples) * u64::from(set.pic_height_in_luma_samples)
}

fn meaning(sets: &ParameterSets, frame: &Frame) -> CodePoints {
    const NOT_SAID: u16 = 2;
    let said = sets.sps.iter().flatten().find_map(|set| set.vui.as_ref());
    CodePoints {
        primaries: said.map_or(NOT_SAID, |said| said.colour_primaries.into()),
        transfer: said.map_or(NOT_SAID, |said| said.transfer_characteristics.into()),
        matrix: frame.matrix_coeffs.into(),
        full_range: frame.full_range,
    }
}

fn hevc_error(error: HevcError) -> Error {
    match error {
        HevcError::UnexpectedEof => Error::truncated("the pixels end too early"),
        HevcError::Unimplemented(_) => Error::Unsupported("image/heic of rare coding"),
        other => Error::corrupt(other),
    }
}
