//! A table whose places are used again; an id names one tenant of a place and no later one.

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
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, tenant: T) -> Id {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.places.get_mut(index as usize)
        {
            place.tenant = Some(tenant);
            return Id {
                index,
                generation: place.generation,
            };
        }
        self.places.push(Place {
            generation: 0,
            tenant: Some(tenant),
        });
        Id {
            index: (self.places.len() - 1) as u32,
            generation: 0,
        }
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        let place = self.places.get(id.index as usize)?;
        place
            .tenant
            .as_ref()
            .filter(|_| place.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let place = self.places.get_mut(id.index as usize)?;
        place
            .tenant
            .as_mut()
            .filter(|_| place.generation == id.generation)
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let place = self.places.get_mut(id.index as usize)?;
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
}
