//! Boxes around coded pictures: what a writer of HEIF writes, or one who means harm.

/// An item of a file.
#[derive(Clone, Default)]
pub(super) struct Item {
    pub id: u16,
    pub kind: [u8; 4],
    /// Of an item of kind `mime`.
    pub content_type: &'static str,
    pub data: Vec<u8>,
    /// Whole boxes.
    pub properties: Vec<Vec<u8>>,
    /// Who may read it; 0 is everyone.
    pub protection: u16,
    /// Which file it is in; 0 is this one.
    pub file: u16,
}

/// A file of items.
#[derive(Clone, Default)]
pub(super) struct File {
    pub brand: [u8; 4],
    pub primary: u16,
    pub items: Vec<Item>,
    /// Kind, who refers, and to whom.
    pub references: Vec<([u8; 4], u16, Vec<u16>)>,
    /// Boxes behind the others.
    pub more: Vec<u8>,
}

impl File {
    pub fn written(&self) -> Vec<u8> {
        let brands = [&self.brand[..], &[0; 4], &self.brand, b"mif1"].concat();
        let start = boxed(b"ftyp", &brands);
        // Once to learn how long it is.
        let data_at = start.len() + self.meta(0).len() + 8;
        let data: Vec<u8> = self.items.iter().flat_map(|item| item.data.clone()).collect();
        [start, self.meta(data_at), boxed(b"mdat", &data), self.more.clone()].concat()
    }

    fn meta(&self, data_at: usize) -> Vec<u8> {
        let handler = full(b"hdlr", 0, &[&[0; 4], &b"pict"[..], &[0; 13]].concat());
        let parts = [
            handler,
            full(b"pitm", 0, &self.primary.to_be_bytes()),
            self.kinds(),
            self.links(),
            self.properties(),
            self.places(data_at),
        ];
        full(b"meta", 0, &parts.concat())
    }

    fn kinds(&self) -> Vec<u8> {
        let entry = |item: &Item| {
            let text = if item.content_type.is_empty() {
                vec![0]
            } else {
                [b"\0", item.content_type.as_bytes(), b"\0"].concat()
            };
            let numbers = [item.id.to_be_bytes(), item.protection.to_be_bytes()].concat();
            full(b"infe", 2, &[&numbers, &item.kind[..], &text].concat())
        };
        let entries: Vec<u8> = self.items.iter().flat_map(entry).collect();
        full(b"iinf", 0, &[&count(self.items.len()), &entries[..]].concat())
    }

    fn links(&self) -> Vec<u8> {
        let entry = |(kind, from, to): &([u8; 4], u16, Vec<u16>)| {
            let to_bytes: Vec<u8> = to.iter().flat_map(|to| to.to_be_bytes()).collect();
            boxed(kind, &[&from.to_be_bytes()[..], &count(to.len()), &to_bytes].concat())
        };
        full(b"iref", 0, &self.references.iter().flat_map(entry).collect::<Vec<_>>())
    }

    fn properties(&self) -> Vec<u8> {
        let (mut all, mut owners) = (Vec::new(), Vec::new());
        let mut number = 0_u16;
        for item in &self.items {
            owners.extend(item.id.to_be_bytes());
            owners.push(u8::try_from(item.properties.len()).expect("a few properties"));
            for property in &item.properties {
                number += 1;
                all.extend_from_slice(property);
                owners.extend((number | 0x8000).to_be_bytes());
            }
        }
        let items = u32::try_from(self.items.len()).expect("some items").to_be_bytes();
        let mut owners = full(b"ipma", 0, &[&items, &owners[..]].concat());
        // Numbers of two bytes.
        owners[11] = 1;
        boxed(b"iprp", &[boxed(b"ipco", &all), owners].concat())
    }

    fn places(&self, data_at: usize) -> Vec<u8> {
        let mut at = u32::try_from(data_at).expect("a small file");
        let mut entries = Vec::new();
        for item in &self.items {
            let length = u32::try_from(item.data.len()).expect("a small item");
            entries.extend([item.id.to_be_bytes(), item.file.to_be_bytes(), count(1)].concat());
            entries.extend([at.to_be_bytes(), length.to_be_bytes()].concat());
            at += length;
        }
        full(b"iloc", 0, &[&[0x44, 0], &count(self.items.len())[..], &entries].concat())
    }
}

pub(super) fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 8).expect("a small box").to_be_bytes();
    [&size, &name[..], content].concat()
}

pub(super) fn full(name: &[u8; 4], version: u8, content: &[u8]) -> Vec<u8> {
    boxed(name, &[&[version, 0, 0, 0], content].concat())
}

fn count(count: usize) -> [u8; 2] {
    u16::try_from(count).expect("few").to_be_bytes()
}
