//! Which trunk takes a number: the longest prefix first, then priority, then by weight.

use std::sync::Arc;

use rand::Rng;
use store::{Route, Trunk};

/// A trunk that takes a number, and what the number is there.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) trunk: Arc<Trunk>,
    /// As it is dialled there.
    pub(crate) number: String,
}

/// All trunks that take a number, the best first; each once.
pub(crate) fn ways(trunks: &[Arc<Trunk>], number: &str, rng: &mut impl Rng) -> Vec<Way> {
    let mut fitting: Vec<(&Arc<Trunk>, &Route)> = trunks
        .iter()
        .flat_map(|trunk| trunk.routes.iter().map(move |route| (trunk, route)))
        .filter(|(_, route)| number.starts_with(route.prefix.as_str()))
        .collect();
    fitting.sort_by_key(|(_, route)| (std::cmp::Reverse(route.prefix.len()), route.priority));
    let mut ways: Vec<Way> = Vec::new();
    while let Some((_, first)) = fitting.first() {
        let rank = (first.prefix.len(), first.priority);
        let equals = fitting
            .iter()
            .take_while(|(_, route)| (route.prefix.len(), route.priority) == rank)
            .map(|(_, route)| u32::from(route.weight));
        let place = draw(equals, rng);
        let (trunk, route) = fitting.remove(place);
        if ways.iter().all(|way| way.trunk.id != trunk.id) {
            ways.push(Way {
                trunk: Arc::clone(trunk),
                number: written(trunk, route, number),
            });
        }
    }
    ways
}

/// Draws one of several by weight. When all are 0 each is as good as the other.
fn draw(weights: impl Iterator<Item = u32> + Clone, rng: &mut impl Rng) -> usize {
    let sum: u32 = weights.clone().sum();
    if sum == 0 {
        return rng.random_range(0..weights.count().max(1));
    }
    let drawn = rng.random_range(0..sum);
    let mut running = 0;
    weights
        .take_while(|weight| {
            running += weight;
            running <= drawn
        })
        .count()
}

/// The number as this trunk wants it. What a route prepends is complete; a number that it leaves alone gets its plus.
fn written(trunk: &Trunk, route: &Route, number: &str) -> String {
    let rest = number.get(usize::from(route.strip)..).unwrap_or_default();
    let untouched = route.strip == 0 && route.prepend.is_empty();
    match untouched && is_international(number) {
        true => shown(trunk, number),
        false => format!("{}{rest}", route.prepend),
    }
}

/// A number in E.164 digits as this trunk wants it.
pub(crate) fn shown(trunk: &Trunk, number: &str) -> String {
    match trunk.plus && is_international(number) {
        true => format!("+{number}"),
        false => number.to_owned(),
    }
}

/// Short codes have no international form.
fn is_international(number: &str) -> bool {
    number.len() > super::e164::SHORT && number.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn route(prefix: &str, priority: u16, weight: u16) -> Route {
        Route {
            prefix: prefix.into(),
            strip: 0,
            prepend: String::new(),
            priority,
            weight,
        }
    }

    fn trunk(id: i64, routes: Vec<Route>) -> Arc<Trunk> {
        let at = jiff::Timestamp::UNIX_EPOCH;
        Arc::new(Trunk {
            id,
            public_id: format!("tr-{id}"),
            account: 1,
            name: format!("trunk {id}"),
            register: false,
            hosts: Vec::new(),
            transport: None,
            login: None,
            inbound_login: None,
            inbound_networks: Vec::new(),
            routes,
            shown_prefixes: Vec::new(),
            default_caller_id: None,
            plus: true,
            trusted: false,
            from_domain: None,
            max_calls: 0,
            options_interval: 0,
            expires: 3600,
            enabled: true,
            created: at,
            updated: at,
        })
    }

    fn order(trunks: &[Arc<Trunk>], number: &str, seed: u64) -> Vec<(i64, String)> {
        let ways = ways(trunks, number, &mut StdRng::seed_from_u64(seed));
        ways.into_iter()
            .map(|way| (way.trunk.id, way.number))
            .collect()
    }

    #[test]
    fn the_longest_prefix_is_first_and_then_the_lowest_priority() {
        let trunks = [
            trunk(1, vec![route("", 1, 1)]),
            trunk(2, vec![route("44", 2, 1), route("4420", 9, 1)]),
            trunk(3, vec![route("44", 1, 1)]),
            trunk(4, vec![route("49", 1, 1)]),
            trunk(5, vec![]),
        ];
        let ids = |number| -> Vec<i64> {
            let order = order(&trunks, number, 1);
            order.into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(ids("442079460000"), [2, 3, 1]);
        assert_eq!(ids("441134960000"), [3, 2, 1]);
        assert_eq!(ids("15550100"), [1]);
    }

    #[test]
    fn equal_routes_share_by_weight() {
        let trunks = [
            trunk(1, vec![route("", 1, 3)]),
            trunk(2, vec![route("", 1, 1)]),
            trunk(3, vec![route("", 1, 0)]),
        ];
        let mut first = [0; 4];
        for seed in 0..4000 {
            let order = order(&trunks, "15550100", seed);
            assert_eq!(order.len(), 3);
            first[usize::try_from(order[0].0).expect("small")] += 1;
        }
        assert!(
            (2800..3200).contains(&first[1]) && first[3] == 0,
            "{first:?}"
        );
    }

    #[test]
    fn a_route_strips_and_prepends_and_otherwise_the_number_gets_its_plus() {
        let with = |strip, prepend: &str| Route {
            strip,
            prepend: prepend.into(),
            ..route("44", 1, 1)
        };
        for (route, number, written) in [
            (with(0, ""), "442079460000", "+442079460000"),
            (with(2, "0"), "442079460000", "02079460000"),
            (with(0, "99"), "442079460000", "99442079460000"),
            (with(15, "7"), "4420", "7"),
            (with(0, ""), "4420", "4420"),
        ] {
            assert_eq!(
                order(&[trunk(1, vec![route])], number, 1),
                [(1, written.to_owned())]
            );
        }
        let mut plain = Trunk::clone(&trunk(1, vec![with(0, "")]));
        plain.plus = false;
        assert_eq!(shown(&plain, "442079460000"), "442079460000");
    }
}
