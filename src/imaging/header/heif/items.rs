//! The items of ISO/IEC 23008-12: what is in a file, where it is, what it has, and what it refers to.

use std::{borrow::Cow, collections::HashMap};

use super::boxes::{Fields, boxes};
use crate::imaging::error::Error;

/// Most items, and most of what they refer to, have or are made of, all together.
const MAX_ITEMS: usize = 4_096;
const MAX_LINKS: usize = 65_536;

/// Most properties of an item, and most places where its bytes lie; cameras write some ten and one.
const MAX_PROPERTIES: usize = 64;
const MAX_EXTENTS: usize = 256;

/// A picture, a part of one, or something that is told of one.
#[derive(Debug, Default)]
pub(in crate::imaging) struct Item<'a> {
    pub kind: [u8; 4],
    /// Media type of an item of kind `mime`.
    pub content_type: &'a [u8],
    encrypted: bool,
    /// Where its bytes are: 0 in the file, 1 among the items.
    method: u8,
    /// 0 is this file; others are listed.
    file: u16,
    /// Offset and length.
    extents: Vec<(u64, u64)>,
    /// Numbers of its properties, counted from 1.
    properties: Vec<u16>,
}

/// That one item refers to others.
#[derive(Debug)]
struct Reference {
    kind: [u8; 4],
    from: u32,
    to: Vec<u32>,
}

/// The items of a file.
#[derive(Debug, Default)]
pub(in crate::imaging) struct Items<'a> {
    file: &'a [u8],
    among: &'a [u8],
    /// The picture that is meant.
    pub primary: Option<u32>,
    items: HashMap<u32, Item<'a>>,
    references: Vec<Reference>,
    properties: Vec<([u8; 4], &'a [u8])>,
    /// Of each listed file, whether it is this one.
    own_files: Vec<bool>,
    links: usize,
}

impl<'a> Items<'a> {
    /// Reads the content of the box `meta` of a file.
    pub fn read(file: &'a [u8], meta: &'a [u8]) -> Result<Self, Error> {
        let (fields, ..) = Fields::versioned(meta)?;
        let mut items = Self { file, ..Self::default() };
        for found in boxes(fields.rest()) {
            let found = found?;
            match &found.name {
                b"pitm" => {
                    let (mut fields, version, _) = Fields::versioned(found.content)?;
                    items.primary = Some(fields.id(version > 0)?);
                }
                b"iinf" => items.take_kinds(found.content)?,
                b"iloc" => items.take_places(found.content)?,
                b"iref" => items.take_references(found.content)?,
                b"iprp" => items.take_properties(found.content)?,
                b"idat" => items.among = found.content,
                b"dinf" => items.take_files(found.content)?,
                _ => {}
            }
        }
        items.check_lists()?;
        Ok(items)
    }

    /// A grid may name one item 65,536 times, and all that is read of an item is read for each of them.
    fn check_lists(&self) -> Result<(), Error> {
        let too_long =
            |item: &Item<'_>| item.properties.len() > MAX_PROPERTIES || item.extents.len() > MAX_EXTENTS;
        if self.items.values().any(too_long) {
            return Err(Error::TooComplex(format!(
                "an item with over {MAX_PROPERTIES} properties or in over {MAX_EXTENTS} places"
            )));
        }
        Ok(())
    }

    pub fn get(&self, id: u32) -> Result<&Item<'a>, Error> {
        self.items.get(&id).ok_or_else(|| Error::corrupt("an item that is not there"))
    }

    /// Items in the order of their numbers.
    pub fn all(&self) -> Vec<(u32, &Item<'a>)> {
        let mut all: Vec<_> = self.items.iter().map(|(id, item)| (*id, item)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// What an item refers to.
    pub fn referred(&self, from: u32, kind: &[u8; 4]) -> &[u32] {
        let found =
            self.references.iter().find(|reference| (reference.from, &reference.kind) == (from, kind));
        found.map_or(&[], |reference| &reference.to)
    }

    /// What refers to an item.
    pub fn referring(&self, to: u32, kind: &[u8; 4]) -> impl Iterator<Item = u32> {
        let found = self.references.iter().filter(move |reference| reference.kind == *kind);
        found.filter(move |reference| reference.to.contains(&to)).map(|reference| reference.from)
    }

    /// Names and contents of an item's properties, in the order in which they count.
    pub fn properties_of(&self, id: u32) -> impl Iterator<Item = ([u8; 4], &'a [u8])> {
        let numbers = self.items.get(&id).map_or(&[][..], |item| &item.properties);
        numbers.iter().filter_map(|number| self.properties.get(usize::from(*number).checked_sub(1)?).copied())
    }

    /// The first property of a name.
    pub fn property(&self, id: u32, name: &[u8; 4]) -> Option<&'a [u8]> {
        self.properties_of(id).find(|(other, _)| other == name).map(|(_, content)| content)
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.file.len() as u64
    }

    /// Bytes of an item, without reading them.
    pub fn length(&self, id: u32) -> Result<u64, Error> {
        self.parts(id)?.iter().try_fold(0_u64, |sum, part| Ok(sum.saturating_add(part.len() as u64)))
    }

    /// The bytes of an item: copied only if they lie in several places, and then no more of them than the file has.
    pub fn data(&self, id: u32) -> Result<Cow<'a, [u8]>, Error> {
        let parts = self.parts(id)?;
        if let [part] = parts.as_slice() {
            return Ok(Cow::Borrowed(part));
        }
        if self.length(id)? > self.file.len() as u64 {
            return Err(Error::corrupt("an item larger than its file"));
        }
        Ok(Cow::Owned(parts.concat()))
    }

    fn parts(&self, id: u32) -> Result<Vec<&'a [u8]>, Error> {
        let item = self.get(id)?;
        if item.encrypted {
            return Err(Error::Unsupported("image/heif with encryption"));
        }
        if item.file > 0 && self.own_files.get(usize::from(item.file) - 1) != Some(&true) {
            return Err(Error::corrupt("an item in another file"));
        }
        let whole = match item.method {
            0 => self.file,
            1 => self.among,
            _ => return Err(Error::Unsupported("image/heif with items made of items")),
        };
        item.extents.iter().map(|extent| part(whole, *extent)).collect()
    }

    /// `iinf`: numbers and kinds.
    fn take_kinds(&mut self, content: &'a [u8]) -> Result<(), Error> {
        let (mut fields, version, _) = Fields::versioned(content)?;
        fields.id(version > 0)?;
        for entry in boxes(fields.rest()) {
            let entry = entry?;
            let (mut fields, version, _) = Fields::versioned(entry.content)?;
            if entry.name != *b"infe" || version < 2 {
                continue;
            }
            let id = fields.id(version > 2)?;
            let item = self.item(id)?;
            item.encrypted = fields.u16()? != 0;
            item.kind = fields.name()?;
            if item.kind == *b"mime" {
                fields.text();
                item.content_type = fields.text();
            }
        }
        Ok(())
    }

    /// `iloc`: places.
    fn take_places(&mut self, content: &'a [u8]) -> Result<(), Error> {
        let (mut fields, version, _) = Fields::versioned(content)?;
        let sizes = fields.u16()?;
        let [offset_bytes, length_bytes, base_bytes, index_bytes] =
            [12, 8, 4, 0].map(|shift| usize::from(sizes >> shift & 0xf));
        let index_bytes = if version == 0 { 0 } else { index_bytes };
        for _ in 0..fields.id(version > 1)? {
            let id = fields.id(version > 1)?;
            let method = if version == 0 { 0 } else { fields.u16()? & 0xf };
            let file = fields.u16()?;
            let base = fields.number(base_bytes)?;
            let count = fields.u16()?;
            self.link(usize::from(count))?;
            let mut extents = Vec::new();
            for _ in 0..count {
                fields.number(index_bytes)?;
                let offset = fields.number(offset_bytes)?.saturating_add(base);
                extents.push((offset, fields.number(length_bytes)?));
            }
            let item = self.item(id)?;
            (item.method, item.file, item.extents) = (method as u8, file, extents);
        }
        Ok(())
    }

    /// `iref`: who refers to whom.
    fn take_references(&mut self, content: &'a [u8]) -> Result<(), Error> {
        let (fields, version, _) = Fields::versioned(content)?;
        for entry in boxes(fields.rest()) {
            let entry = entry?;
            let mut fields = Fields::of(entry.content);
            let from = fields.id(version > 0)?;
            let count = usize::from(fields.u16()?);
            self.link(count + 1)?;
            let to = (0..count).map(|_| fields.id(version > 0)).collect::<Result<_, _>>()?;
            self.references.push(Reference { kind: entry.name, from, to });
        }
        Ok(())
    }

    /// `iprp`: properties, and which item has which.
    fn take_properties(&mut self, content: &'a [u8]) -> Result<(), Error> {
        for found in boxes(content) {
            let found = found?;
            match &found.name {
                b"ipco" => {
                    for property in boxes(found.content) {
                        let property = property?;
                        self.link(1)?;
                        self.properties.push((property.name, property.content));
                    }
                }
                b"ipma" => self.take_owners(found.content)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn take_owners(&mut self, content: &'a [u8]) -> Result<(), Error> {
        let (mut fields, version, flags) = Fields::versioned(content)?;
        for _ in 0..fields.u32()? {
            let id = fields.id(version > 0)?;
            let count = usize::from(fields.u8()?);
            self.link(count)?;
            let mut numbers = Vec::with_capacity(count);
            for _ in 0..count {
                // The highest bit says that the property is essential.
                numbers.push(if flags & 1 == 1 {
                    fields.u16()? & 0x7fff
                } else {
                    u16::from(fields.u8()? & 0x7f)
                });
            }
            self.item(id)?.properties.extend(numbers);
        }
        Ok(())
    }

    /// `dinf`: other files, of which some are this one.
    fn take_files(&mut self, content: &'a [u8]) -> Result<(), Error> {
        const ITSELF: u32 = 1;
        for found in boxes(content) {
            let found = found?;
            if found.name != *b"dref" {
                continue;
            }
            let (mut fields, ..) = Fields::versioned(found.content)?;
            fields.u32()?;
            for file in boxes(fields.rest()) {
                let (_, _, flags) = Fields::versioned(file?.content)?;
                self.link(1)?;
                self.own_files.push(flags & ITSELF == ITSELF);
            }
        }
        Ok(())
    }

    fn item(&mut self, id: u32) -> Result<&mut Item<'a>, Error> {
        if self.items.len() >= MAX_ITEMS && !self.items.contains_key(&id) {
            return Err(Error::TooComplex(format!("over {MAX_ITEMS} items")));
        }
        Ok(self.items.entry(id).or_default())
    }

    /// Counts what is kept for items.
    fn link(&mut self, count: usize) -> Result<(), Error> {
        self.links += count;
        if self.links > MAX_LINKS {
            return Err(Error::TooComplex(format!(
                "over {MAX_LINKS} places, properties and references of items"
            )));
        }
        Ok(())
    }
}

/// A part of a file; one without a length goes to the end.
fn part(whole: &[u8], (offset, length): (u64, u64)) -> Result<&[u8], Error> {
    let cut = || Error::truncated("an item behind the end");
    let start = usize::try_from(offset).map_err(|_| cut())?;
    let end = match length {
        0 => whole.len(),
        length => usize::try_from(offset.saturating_add(length)).map_err(|_| cut())?,
    };
    whole.get(start..end).ok_or_else(cut)
}
