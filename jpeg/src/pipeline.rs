//! From blocks to a file: rings, resampling, turning, encoding; a few rows of the picture at a time.

use crate::{
    Output,
    arch::Kernels,
    dct::{Block, Steps},
    encode::{
        Encoder, Layout, Strips,
        deferred::{Deferred, Order},
        write::Head,
    },
    error::Error,
    header::Frame,
    orient::{Orientation, Turned},
    plan::Plan,
    preview::Preview,
    resample::{
        Resampler,
        horizontal::Horizontal,
        weights::{Axis, Weights},
    },
    ring::{Plane, TILE},
    scratch::Scratch,
};

/// Blocks of one MCU: up to four of luma from the first on, the two of chroma last.
pub type Mcu = [Block; 6];

/// Turns strip after strip: in the turned picture each is a column or a row of MCUs, which wait for those before them.
#[derive(Debug)]
pub struct Turning {
    /// The strip, turned.
    pub planes: Vec<Turned>,
    /// What is encoded.
    pub deferred: Deferred,
}

impl Turning {
    fn new(layout: Layout, scratch: &mut Scratch) -> Self {
        let mut deferred = std::mem::take(&mut scratch.deferred);
        deferred.clear();
        let planes = (0..layout.components()).map(|_| Turned::in_memory_of(scratch.turned.pop())).collect();
        Self { planes, deferred }
    }

    fn turn(&mut self, planes: &[Plane], strip: usize, orientation: Orientation) {
        for (plane, turned) in planes.iter().zip(&mut self.planes) {
            let (rows, width) = (plane.next - plane.start(strip), plane.width);
            turned.resize(if orientation.swaps() { (rows, width) } else { (width, rows) }, plane.strip_rows);
            turned.take(&plane.strip, plane.strip_stride, rows, orientation);
            turned.pad();
        }
    }

    fn encode(&mut self, kernels: Kernels, encoder: &mut Encoder, head: &Head<'_>) {
        let layout = head.layout;
        let (side, luma) = (layout.strip_rows(0), &self.planes[0]);
        let (mcus, rows) = (luma.width.div_ceil(side), luma.height.div_ceil(side));
        for row in 0..rows {
            let planes = std::array::from_fn(|at| {
                let plane = self.planes.get(at).unwrap_or(&self.planes[0]);
                let rows = layout.strip_rows(at) * plane.stride;
                (&plane.pixels[(row * rows).min(plane.pixels.len() - rows)..][..rows], plane.stride)
            });
            kernels.strip(encoder, Strips { planes, mcus }, layout);
        }
        self.deferred.take(&mut encoder.tokens, head);
    }
}

/// From so many samples for one of the output on, blocks are decoded to half as many.
const HALF_FROM: usize = 3;

/// Most source samples for one of the output; what is made smaller has weights that 16 bits hardly tell.
const MAX_RATIO: f64 = 32.0;

/// A photo on its way.
#[derive(Debug)]
pub struct Pipeline {
    kernels: Kernels,
    planes: Vec<Plane>,
    sampling: (usize, usize),
    layout: Layout,
    encoder: Encoder,
    turning: Option<Turning>,
    plan: Plan,
    /// Sides of the original, px.
    source: (usize, usize),
    /// Sides of the picture before it is turned, px.
    size: (usize, usize),
    strip: usize,
}

impl Pipeline {
    /// Prepares for a frame whose quantization tables are known.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when the picture becomes too small for it.
    pub fn new(
        frame: &Frame,
        quants: &[[u16; 64]],
        plan: &Plan,
        scratch: &mut Scratch,
    ) -> Result<Self, Error> {
        let size = plan.fit(frame.width, frame.height);
        let layout = match frame.components.len() {
            1 => Layout::Grey,
            _ if plan.full_chroma => Layout::Full,
            _ => Layout::Half,
        };
        let mut planes = Vec::with_capacity(3);
        for (component, quant) in (0..frame.components.len()).zip(quants) {
            let geometry = Geometry { frame, size, layout, component, plan };
            planes.push(geometry.plane(quant, scratch)?);
        }
        set_capacities(&mut planes, frame.mcus().1, scratch);
        let luma = frame.components[0];
        let encoder = Encoder::new(plan.quality, std::mem::take(&mut scratch.tokens));
        let mut pipeline = Self {
            kernels: scratch.kernels,
            planes,
            sampling: (luma.horizontal, luma.vertical),
            layout,
            encoder,
            turning: None,
            plan: plan.clone(),
            source: (frame.width, frame.height),
            size,
            strip: 0,
        };
        if !plan.orientation.is_upright() {
            pipeline.turning = Some(Turning::new(layout, scratch));
        }
        Ok(pipeline)
    }

    /// Takes MCUs of the current row, from column `first` on; their blocks are empty afterwards.
    pub fn take(&mut self, mcus: &mut [Mcu], first: usize) {
        self.kernels.inverse(mcus, first, self.sampling, &mut self.planes);
    }

    /// Ends a row of MCUs: makes all output rows that have what they need.
    pub fn end_row(&mut self) {
        for plane in &mut self.planes {
            plane.have += plane.band;
        }
        while self.strip < self.strips() && self.resample() {
            self.emit();
            self.strip += 1;
        }
    }

    fn strips(&self) -> usize {
        self.size.1.div_ceil(self.layout.strip_rows(0))
    }

    /// Makes rows of the current strip; whether it is complete.
    fn resample(&mut self) -> bool {
        let (kernels, strip) = (self.kernels, self.strip);
        let mut complete = true;
        for plane in &mut self.planes {
            let (ready, end) = plane.ready(strip);
            let rows = plane.next..ready;
            if !rows.is_empty() {
                kernels.vertical(plane, rows.clone());
                for (row, columns) in rows.zip(plane.columns.chunks_exact(plane.stride)) {
                    let place = (row - plane.start(strip)) * plane.strip_stride;
                    let out = &mut plane.strip[place..place + plane.strip_stride];
                    kernels.horizontal(&plane.resampler.horizontal, columns, out);
                }
                plane.next = ready;
            }
            complete &= ready == end;
        }
        complete
    }

    /// Hands a complete strip on.
    fn emit(&mut self) {
        let strip = self.strip;
        // Before colors are converted: the color of the last row of an odd number is that of two rows.
        for plane in &mut self.planes {
            plane.repeat_last_row(plane.next - plane.start(strip));
        }
        if let (Some(color), [luma, blue, red]) = (&self.plan.color, &mut self.planes[..]) {
            let planes = [luma, blue, red].map(|plane| (&mut plane.strip[..], plane.strip_stride));
            self.kernels.color(color, planes, self.layout);
        }
        let sides = self.turned_size();
        if let Some(turning) = &mut self.turning {
            turning.turn(&self.planes, strip, self.plan.orientation);
            turning.encode(self.kernels, &mut self.encoder, &head(self.layout, sides, &self.plan));
            return;
        }
        let planes = std::array::from_fn(|at| {
            let plane = self.planes.get(at).unwrap_or(&self.planes[0]);
            (&plane.strip[..], plane.strip_stride)
        });
        let mcus = self.size.0.div_ceil(self.layout.strip_rows(0));
        self.kernels.strip(&mut self.encoder, Strips { planes, mcus }, self.layout);
        self.write_ahead();
    }

    /// The file, and what there is to say of it.
    pub fn finish(mut self, scratch: &mut Scratch) -> Output {
        let (width, height) = self.turned_size();
        let (head, order) = (head(self.layout, (width, height), &self.plan), self.order());
        let jpeg = match &self.turning {
            Some(turning) => turning.deferred.finish(&mut self.encoder, order, &head),
            None => self.encoder.finish(&head),
        };
        let preview = Preview::new(&self.encoder, self.layout, width, height);
        scratch.keep(self.planes, self.encoder.tokens, self.turning);
        let (source_width, source_height) = self.source;
        let grey = self.layout == Layout::Grey;
        Output { jpeg, width, height, source_width, source_height, grey, preview }
    }

    fn order(&self) -> Order {
        let (side, orientation) = (self.layout.strip_rows(0), self.plan.orientation);
        let (width, height) = self.turned_size();
        Order {
            columns: width.div_ceil(side),
            rows: height.div_ceil(side),
            swapped: orientation.swaps(),
            reversed: orientation.reverses_rows(),
        }
    }

    fn write_ahead(&mut self) {
        let head = head(self.layout, self.turned_size(), &self.plan);
        self.encoder.write_ahead(&head);
    }

    fn turned_size(&self) -> (usize, usize) {
        if self.plan.orientation.swaps() { (self.size.1, self.size.0) } else { self.size }
    }
}

fn head(layout: Layout, (width, height): (usize, usize), plan: &Plan) -> Head<'_> {
    Head { layout, sides: (width as u16, height as u16), segments: &plan.segments }
}

impl Plane {
    /// Up to which row of a strip the source rows that came suffice, and where the strip ends.
    fn ready(&self, strip: usize) -> (usize, usize) {
        let end = self.start(strip + 1).min(self.resampler.vertical.len());
        let have = self.have.min(self.source_rows);
        let fits = |row: &usize| self.resampler.vertical.end(*row) <= have;
        (self.next + (self.next..end).take_while(fits).count(), end)
    }

    fn repeat_last_row(&mut self, rows: usize) {
        let last = (rows - 1) * self.strip_stride;
        for row in rows..self.strip_rows {
            self.strip.copy_within(last..last + self.strip_stride, row * self.strip_stride);
        }
    }
}

/// Runs through the rows of a picture without pixels, to see how many rows each ring must hold.
fn set_capacities(planes: &mut [Plane], mcu_rows: usize, scratch: &mut Scratch) {
    let mut needed = vec![0; planes.len()];
    let mut strip = 0;
    for _ in 0..mcu_rows {
        for (plane, needed) in planes.iter_mut().zip(&mut needed) {
            plane.have += plane.band;
            if plane.next < plane.resampler.vertical.len() {
                let oldest = plane.resampler.vertical.row(plane.next).0;
                *needed = plane.have.saturating_sub(oldest).max(*needed);
            }
        }
        loop {
            let ready: Vec<_> = planes.iter().map(|plane| plane.ready(strip)).collect();
            for (plane, &(ready, _)) in planes.iter_mut().zip(&ready) {
                plane.next = ready;
            }
            let complete = ready.iter().all(|(ready, end)| ready == end);
            if !complete || planes[0].next >= planes[0].resampler.vertical.len() {
                break;
            }
            strip += 1;
        }
    }
    for (plane, needed) in planes.iter_mut().zip(needed) {
        (plane.have, plane.next) = (0, 0);
        plane.capacity = needed.max(plane.band).next_multiple_of(plane.band);
        plane.ring = scratch.ring();
        plane.ring.resize(plane.tiles * plane.capacity, [0; TILE]);
    }
}

/// What makes one component's plane.
struct Geometry<'a> {
    frame: &'a Frame,
    size: (usize, usize),
    layout: Layout,
    component: usize,
    plan: &'a Plan,
}

impl Geometry<'_> {
    fn plane(&self, quant: &[u16; 64], scratch: &mut Scratch) -> Result<Plane, Error> {
        let (luma, own) = (self.frame.components[0], self.frame.components[self.component]);
        let by = (luma.horizontal / own.horizontal, luma.vertical / own.vertical);
        let orientation = self.plan.orientation;
        let side = if self.has_samples_to_spare(by.0) && self.has_samples_to_spare(by.1) { 4 } else { 8 };
        let columns = self.axis(self.frame.width, (by.0, side), self.size.0, orientation.reverses_columns());
        let rows = self.axis(self.frame.height, (by.1, side), self.size.1, orientation.reverses_rows());
        if columns.ratio().max(rows.ratio()) > MAX_RATIO {
            return Err(Error::Unsupported("a picture that becomes so much smaller"));
        }
        let resampler = Resampler { vertical: Weights::new(&rows, 1), horizontal: Horizontal::new(&columns) };
        let strip_rows = self.layout.strip_rows(self.component);
        let padded = self.frame.mcus().0 * own.horizontal * side;
        let tiles = padded.div_ceil(TILE);
        let stride = tiles * TILE + resampler.horizontal.slack();
        let mcu_columns = self.size.0.div_ceil(self.layout.strip_rows(0));
        let mut plane = Plane {
            side,
            tiles,
            band: side * own.vertical,
            source_rows: rows.source,
            capacity: 0,
            ring: Vec::new(),
            have: 0,
            next: 0,
            strip_rows,
            lead: if orientation.reverses_rows() {
                rows.output.next_multiple_of(strip_rows) - rows.output
            } else {
                0
            },
            width: columns.output,
            resampler,
            columns: scratch.columns(),
            stride,
            strip: scratch.strip(),
            // Pixels are stored 16 at once.
            strip_stride: (mcu_columns * strip_rows).next_multiple_of(16),
            steps: Steps::new(quant)?,
        };
        plane.columns.resize(stride * strip_rows, 0);
        plane.strip.resize(plane.strip_stride * strip_rows, 0);
        Ok(plane)
    }

    /// Whether half of the samples in one direction do, where one stands for `by` of the picture: color at full size is often made smaller twice.
    fn has_samples_to_spare(&self, by: usize) -> bool {
        let longest = self.frame.width.max(self.frame.height);
        longest * self.layout.subsampling(self.component) >= HALF_FROM * by * self.plan.max_side as usize
    }

    /// `by`: of the picture's samples, how many are one of the component; `block`: samples that a block is decoded to.
    fn axis(&self, side: usize, (by, block): (usize, usize), output: usize, mirrored: bool) -> Axis {
        let out_by = self.layout.subsampling(self.component);
        let shrink = 8 / block;
        let samples = output.div_ceil(out_by);
        let shift = if mirrored { output as f64 / out_by as f64 - samples as f64 } else { 0.0 };
        Axis {
            source: side.div_ceil(by).div_ceil(shrink),
            output: samples,
            source_extent: side as f64 / (by * shrink) as f64,
            output_extent: output as f64 / out_by as f64,
            shift,
        }
    }
}
