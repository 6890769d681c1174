//! A table whose places are used again; an id names one tenant of a place and no later one. It grows by pages and moves
//! nothing: a table that doubles would stop all signalling while hundreds of megabytes are copied.

/// Names one value of a [`Slab`].
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Id {
    pub(crate) index: u32,
    generation: u32,
}

impl Id {
    /// The lowest and the highest id, for ranges.
    pub(crate) const FIRST: Self = Self {
        index: 0,
        generation: 0,
    };
    pub(crate) const LAST: Self = Self {
        index: u32::MAX,
        generation: u32::MAX,
    };

    /// Gives the id as one number.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    tenant: Option<T>,
}

#[derive(Debug)]
pub(crate) struct Slab<T> {
    pages: Vec<Vec<Place<T>>>,
    free: Vec<u32>,
}

/// Places of one page.
const PAGE: usize = 1024;

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            pages: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        let full = self.pages.len().saturating_sub(1) * PAGE;
        full + self.pages.last().map_or(0, Vec::len) - self.free.len()
    }

    fn place(&self, index: u32) -> Option<&Place<T>> {
        let index = index as usize;
        self.pages.get(index / PAGE)?.get(index % PAGE)
    }

    fn place_mut(&mut self, index: u32) -> Option<&mut Place<T>> {
        let index = index as usize;
        self.pages.get_mut(index / PAGE)?.get_mut(index % PAGE)
    }

    pub(crate) fn insert(&mut self, tenant: T) -> Id {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.place_mut(index)
        {
            place.tenant = Some(tenant);
            return Id {
                index,
                generation: place.generation,
            };
        }
        let place = Place {
            generation: 0,
            tenant: Some(tenant),
        };
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE => page.push(place),
            _ => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(place);
                self.pages.push(page);
            }
        }
        let last = self.pages.last().map_or(0, Vec::len);
        Id {
            index: ((self.pages.len() - 1) * PAGE + last - 1) as u32,
            generation: 0,
        }
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        let place = self.place(id.index)?;
        place
            .tenant
            .as_ref()
            .filter(|_| place.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let place = self.place_mut(id.index)?;
        place
            .tenant
            .as_mut()
            .filter(|_| place.generation == id.generation)
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let place = self.place_mut(id.index)?;
        if place.generation != id.generation {
            return None;
        }
        let tenant = place.tenant.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_does_not_name_a_later_tenant() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(second.index, first.index);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&'b')));
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn many_tenants_are_found_again() {
        let mut slab = Slab::new();
        let count = 3 * PAGE as u32 + 5;
        let ids: Vec<Id> = (0..count).map(|number| slab.insert(number)).collect();
        assert_eq!(slab.len(), count as usize);
        for (id, number) in ids.iter().zip(0..) {
            assert_eq!((id.index, slab.get(*id)), (number, Some(&number)));
        }
        assert_eq!(slab.remove(ids[PAGE]), Some(PAGE as u32));
        assert_eq!(slab.insert(7).index, PAGE as u32);
        assert_eq!(slab.len(), count as usize);
    }
}
