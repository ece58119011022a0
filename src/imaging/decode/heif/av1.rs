//! AV1 → planes by `re_rav1d`, whose interface is that of C: the only unsafe code of this room, each block with its
//! proof.
#![expect(unsafe_code, reason = "the safe interface cannot be told to be silent")]

use std::{mem::MaybeUninit, ptr::NonNull};

use re_rav1d::{
    include::dav1d::{
        data::Dav1dData,
        dav1d::{Dav1dContext, Dav1dLogger, Dav1dSettings},
        headers::{
            DAV1D_PIXEL_LAYOUT_I400, DAV1D_PIXEL_LAYOUT_I420, DAV1D_PIXEL_LAYOUT_I422, Dav1dSequenceHeader,
        },
        picture::Dav1dPicture,
    },
    src::lib::{
        dav1d_close, dav1d_data_create, dav1d_data_unref, dav1d_default_settings, dav1d_get_picture,
        dav1d_open, dav1d_parse_sequence_header, dav1d_picture_unref, dav1d_send_data,
    },
};

use super::{
    most_pixels,
    planes::{self, Coding, Plane},
};
use crate::imaging::{
    error::Error,
    header::heif::picture::{CodePoints, Coded, av1_units},
};

/// The library's word for: ask again, or give more first.
const AGAIN: i32 = -11;

/// A decoder, closed when it is dropped.
struct Decoder(Option<Dav1dContext>);

/// Bytes that the library owns, given back when they are dropped.
struct Input(Dav1dData);

/// A decoded tile, given back when it is dropped.
pub(super) struct Picture(Dav1dPicture);

/// Its samples, of one byte each or of two.
pub(super) enum Planes<'a> {
    Shallow(planes::Planes<'a, u8>),
    Deep(planes::Planes<'a, u16>),
}

/// Decodes the first picture that is shown, which is to have these sides and samples or is coded a little larger.
pub(super) fn decode(
    data: &[u8],
    sides: (u32, u32),
    samples: Coded,
    operating_point: u8,
) -> Result<Picture, Error> {
    check_samples(data, samples)?;
    let decoder = Decoder::open(most_pixels(sides), operating_point)?;
    let mut input = Input::of(data)?;
    let mut picture = Picture(Dav1dPicture::default());
    loop {
        let before = input.0.sz;
        if before > 0 {
            decoder.send(&mut input)?;
        }
        if decoder.receive(&mut picture)? {
            break;
        }
        if input.0.sz == before {
            return Err(Error::truncated("the pixels end too early"));
        }
    }
    if picture.0.p.w.cast_unsigned() < sides.0 || picture.0.p.h.cast_unsigned() < sides.1 {
        return Err(Error::corrupt("a picture smaller than it says"));
    }
    Ok(picture)
}

/// No room is made for more samples, or larger ones, than were told.
fn check_samples(data: &[u8], told: Coded) -> Result<(), Error> {
    const SEQUENCE: u8 = 1;
    let units = av1_units(data).filter(|(kind, _)| *kind == SEQUENCE);
    // One that cannot be read is none; the decoder says so if it needs it.
    for header in units.filter_map(|(_, unit)| sequence(unit)) {
        let format = match header.layout {
            DAV1D_PIXEL_LAYOUT_I400 => 0,
            DAV1D_PIXEL_LAYOUT_I420 => 1,
            DAV1D_PIXEL_LAYOUT_I422 => 2,
            _ => 3,
        };
        if Coded::quarters(format) > told.quarters || header.hbd > 0 && told.bits == 8 {
            return Err(Error::corrupt("a picture of more samples than it says"));
        }
    }
    Ok(())
}

/// Reads the header of a sequence.
fn sequence(unit: &[u8]) -> Option<Dav1dSequenceHeader> {
    let mut header = MaybeUninit::<Dav1dSequenceHeader>::uninit();
    let (place, bytes) = (NonNull::from(&mut header).cast(), NonNull::from(unit).cast());
    // SAFETY: a header is written to where there is room for one, and the bytes are those of a slice.
    let read = unsafe { dav1d_parse_sequence_header(Some(place), Some(bytes), unit.len()) };
    // SAFETY: what was read without an error was written.
    (read.0 == 0).then(|| unsafe { header.assume_init() })
}

fn corrupt() -> Error {
    Error::corrupt("an av1 picture that cannot be decoded")
}

impl Decoder {
    fn open(most_pixels: u32, operating_point: u8) -> Result<Self, Error> {
        let mut settings = MaybeUninit::<Dav1dSettings>::uninit();
        // SAFETY: the function writes settings to where the pointer leads, which is room for them and nobody else's.
        let mut settings = unsafe {
            dav1d_default_settings(NonNull::from(&mut settings).cast());
            settings.assume_init()
        };
        settings.n_threads = 1;
        settings.max_frame_delay = 1;
        settings.all_layers = 0;
        settings.operating_point = operating_point.into();
        settings.frame_size_limit = most_pixels;
        // SAFETY: without a function to call there is nothing that its arguments must be safe for.
        settings.logger = unsafe { Dav1dLogger::new(None, None) };
        let mut decoder = Self(None);
        // SAFETY: both pointers are made of references that live as long as the call.
        let opened =
            unsafe { dav1d_open(Some(NonNull::from(&mut decoder.0)), Some(NonNull::from(&mut settings))) };
        if opened.0 == 0 { Ok(decoder) } else { Err(corrupt()) }
    }

    /// Gives what the decoder takes of the input, which may be nothing.
    fn send(&self, input: &mut Input) -> Result<(), Error> {
        // SAFETY: the context is open until it is dropped, and the input is data of the library or empty.
        match unsafe { dav1d_send_data(self.0, Some(NonNull::from(&mut input.0))) }.0 {
            0 | AGAIN => Ok(()),
            _ => Err(corrupt()),
        }
    }

    /// Whether there is a picture.
    fn receive(&self, picture: &mut Picture) -> Result<bool, Error> {
        // SAFETY: the context is open until it is dropped; what is overwritten is a picture that holds nothing.
        match unsafe { dav1d_get_picture(self.0, Some(NonNull::from(&mut picture.0))) }.0 {
            0 => Ok(true),
            AGAIN => Ok(false),
            _ => Err(corrupt()),
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the context, if there is one, is from `dav1d_open` and is closed here and nowhere else.
        unsafe { dav1d_close(Some(NonNull::from(&mut self.0))) }
    }
}

impl Input {
    fn of(data: &[u8]) -> Result<Self, Error> {
        if data.is_empty() {
            return Err(Error::truncated("the pixels end too early"));
        }
        let mut input = Self(Dav1dData::default());
        // SAFETY: the pointer is made of a reference to data that holds nothing yet.
        let place = unsafe { dav1d_data_create(Some(NonNull::from(&mut input.0)), data.len()) };
        let place =
            NonNull::new(place).ok_or_else(|| Error::TooComplex("no memory for an av1 picture".into()))?;
        // SAFETY: the library has made room for so many bytes there, which nobody else knows yet.
        unsafe { place.copy_from_nonoverlapping(NonNull::from(data).cast(), data.len()) };
        Ok(input)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // SAFETY: what is left of the data is the library's own, or nothing.
        unsafe { dav1d_data_unref(Some(NonNull::from(&mut self.0))) }
    }
}

impl Picture {
    /// What the stream says of its numbers.
    pub fn meaning(&self) -> CodePoints {
        let header = self.0.seq_hdr.expect("a decoded picture has the header of its sequence");
        // SAFETY: the picture keeps its header alive, and nothing changes it.
        let header = unsafe { header.as_ref() };
        CodePoints {
            primaries: header.pri as u16,
            transfer: header.trc as u16,
            matrix: header.mtrx as u16,
            full_range: header.color_range != 0,
        }
    }

    pub fn planes(&self) -> Planes<'_> {
        let picture = &self.0.p;
        let bits = u8::try_from(picture.bpc).expect("8, 10 or 12");
        let layout = picture.layout;
        let coding = Coding {
            luma_bits: bits,
            chroma_bits: bits,
            half_width: layout == DAV1D_PIXEL_LAYOUT_I420 || layout == DAV1D_PIXEL_LAYOUT_I422,
            half_height: layout == DAV1D_PIXEL_LAYOUT_I420,
        };
        let sides = (picture.w as usize, picture.h as usize);
        let chroma_sides = (
            if coding.half_width { sides.0.div_ceil(2) } else { sides.0 },
            if coding.half_height { sides.1.div_ceil(2) } else { sides.1 },
        );
        let grey = layout == DAV1D_PIXEL_LAYOUT_I400;
        if bits == 8 {
            // SAFETY: samples of 8 bits are bytes.
            let plane = |index, sides| unsafe { self.plane::<u8>(index, sides) };
            let chroma = (!grey).then(|| [plane(1, chroma_sides), plane(2, chroma_sides)]);
            Planes::Shallow(planes::Planes { luma: plane(0, sides), chroma, coding })
        } else {
            // SAFETY: deeper samples are words.
            let plane = |index, sides| unsafe { self.plane::<u16>(index, sides) };
            let chroma = (!grey).then(|| [plane(1, chroma_sides), plane(2, chroma_sides)]);
            Planes::Deep(planes::Planes { luma: plane(0, sides), chroma, coding })
        }
    }

    /// A plane of the picture.
    ///
    /// # Safety
    ///
    /// `T` is what the samples are, and the plane has these sides.
    unsafe fn plane<T>(&self, index: usize, (width, height): (usize, usize)) -> Plane<'_, T> {
        let start = self.0.data[index].expect("a decoded picture has its planes").cast::<T>();
        let stride = self.0.stride[index.min(1)];
        let stride =
            usize::try_from(stride).expect("the library's own memory runs downwards") / size_of::<T>();
        // SAFETY: the library allocates whole rows of a multiple of 64 bytes, aligned to as many, and keeps them as they
        // are while this picture is not given back, which the lifetime of the plane prevents.
        let samples = unsafe { NonNull::slice_from_raw_parts(start, stride * (height - 1) + width).as_ref() };
        Plane { samples, stride, width, height }
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: the picture is the library's own, or holds nothing, and is given back here and nowhere else.
        unsafe { dav1d_picture_unref(Some(NonNull::from(&mut self.0))) }
    }
}
