//! Which clusters look where neither the rest of the class nor other classes do.

use super::view::{ClusterView, members_of};
use super::{CELLS, Clustering, FocusMap, Place, mean_map};

/// Clusters of fewer members say nothing.
pub const FEWEST_MEMBERS: usize = 3;
/// Nor do those with a smaller share of the class.
const LEAST_SHARE: f64 = 0.02;
/// Of 49: about a quarter. An artefact is small.
const MOST_REGION_CELLS: usize = 12;
/// Members of a smaller purity look at different places.
const LEAST_PURITY: f64 = 0.7;
/// So many times as much of the cluster's evidence must lie in its region as of others' there.
const LEAST_RATIO: f64 = 2.0;

/// A focus that suggests an artefact.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// What the focus hugs.
    pub place: Place,
    /// Share of the cluster's evidence that lies in its region, 0 to 1.
    pub focus: f64,
    /// The same of other classes.
    pub background: f64,
    /// The same of those clusters of the class that do not hug the place; none if the ones that do hold more than half of the class.
    pub rest: Option<f64>,
    /// All this in a sentence.
    pub reason: String,
}

/// Describes the clusters of a class, in their order, and tells which are suspicious: those
/// - that have at least 3 members and 2 % of the class,
/// - whose mean map hugs a corner (at least 50 % of its mass in 3x3 cells there and 35 % in 2x2) or an edge (at least 70 % in the two outer rows or
///   columns and 40 % in the outermost),
/// - whose region has at most 12 of the 49 cells,
/// - whose purity is at least 0.7, and
/// - whose region holds at least twice as much of their evidence as of other classes', and as of that of the class's clusters that do not hug the
///   same place. The latter is not asked if more than half of the class hugs it: then the class as a whole is odd, in however many clusters.
///
/// `class_maps` are those that were clustered, `background` is the mean map of other classes' items (even if there are none).
pub fn suspicions(
    class_maps: &[FocusMap],
    clustering: &Clustering,
    background: &FocusMap,
) -> Vec<ClusterView> {
    let mut views: Vec<ClusterView> = (0..clustering.sizes.len())
        .map(|cluster| ClusterView::of(cluster, class_maps, clustering))
        .collect();
    let suspicions: Vec<Option<Suspicion>> = views
        .iter()
        .map(|view| suspicion(view, &views, class_maps, clustering, background))
        .collect();
    for (view, suspicion) in views.iter_mut().zip(suspicions) {
        view.suspicion = suspicion;
    }
    views
}

fn suspicion(
    view: &ClusterView,
    views: &[ClusterView],
    class_maps: &[FocusMap],
    clustering: &Clustering,
    background: &FocusMap,
) -> Option<Suspicion> {
    let place = Place::hugged_by(&view.mean)?;
    let is_odd = view.count >= FEWEST_MEMBERS
        && view.share >= LEAST_SHARE
        && view.region.len() <= MOST_REGION_CELLS
        && view.purity >= LEAST_PURITY;
    if !is_odd {
        return None;
    }
    let is_hugging: Vec<bool> = views
        .iter()
        .map(|other| place.is_hugged_by(&other.mean))
        .collect();
    let others = members_of(class_maps, clustering, |of| !is_hugging[of]);
    let hugging = members_of(class_maps, clustering, |of| is_hugging[of]).count();
    let rest = if 2 * hugging > class_maps.len() {
        None
    } else {
        mean_map(others)
    };
    let focus = mass(&view.mean, &view.region);
    let background = mass(background, &view.region);
    let rest = rest.map(|rest| mass(&rest, &view.region));
    if focus < LEAST_RATIO * background.max(rest.unwrap_or(0.0)) {
        return None;
    }
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let beside = match rest {
        Some(rest) => format!("and {} in the rest of this class", percent(rest)),
        None => "and most of this class looks there".to_owned(),
    };
    let reason = format!(
        "{} of {} pictures ({}) look at {place}: {} of {CELLS} cells there hold {} of their evidence, against {} in other classes, {beside}.",
        view.count,
        class_maps.len(),
        percent(view.share),
        view.region.len(),
        percent(focus),
        percent(background),
    );
    Some(Suspicion {
        place,
        focus,
        background,
        rest,
        reason,
    })
}

fn mass(map: &FocusMap, cells: &[usize]) -> f64 {
    cells.iter().map(|cell| f64::from(map[*cell])).sum()
}

#[cfg(test)]
mod tests {
    use super::super::simulate::blob;
    use super::*;
    use crate::random::Random;

    const FLAT: FocusMap = [1.0 / CELLS as f32; CELLS];

    /// So many maps with a focus at a place.
    fn around(place: (f64, f64), count: usize) -> Vec<FocusMap> {
        let mut random = Random::new(count as u64, 0);
        (0..count).map(|_| blob(place, 0.02, &mut random)).collect()
    }

    /// The views of groups, each of which is a cluster.
    fn seen(groups: &[Vec<FocusMap>], background: &FocusMap) -> Vec<ClusterView> {
        let of = groups
            .iter()
            .enumerate()
            .flat_map(|(of, maps)| vec![of; maps.len()]);
        let clustering = Clustering {
            assignment: of.collect(),
            sizes: groups.iter().map(Vec::len).collect(),
            eigenvalues: Vec::new(),
        };
        suspicions(&groups.concat(), &clustering, background)
    }

    fn flags(groups: &[Vec<FocusMap>]) -> Vec<bool> {
        let views = seen(groups, &FLAT);
        views.iter().map(|view| view.suspicion.is_some()).collect()
    }

    #[test]
    fn a_corner_of_a_few_is_suspicious_and_the_rest_is_not() {
        let views = seen(&[around((3.5, 3.5), 32), around((6.4, 0.6), 8)], &FLAT);
        assert_eq!((views[0].count, views[1].count), (32, 8));
        assert_eq!(views[0].suspicion, None);
        let suspicion = views[1].suspicion.as_ref().unwrap();
        assert_eq!(suspicion.place, Place::TopRight);
        assert!(views[1].region.contains(&6), "{:?}", views[1].region);
        assert_eq!((views[1].bounds.top, views[1].bounds.right), (0, 6));
        assert!(suspicion.focus >= 0.5 && suspicion.rest.unwrap() < 0.05);
        let start = "8 of 40 pictures (20 %) look at the top right corner: ";
        assert!(suspicion.reason.starts_with(start), "{}", suspicion.reason);
    }

    #[test]
    fn a_whole_class_in_a_corner_is_judged_against_other_classes_only() {
        let groups = [around((0.6, 0.6), 30)];
        let suspicion = seen(&groups, &FLAT)[0].suspicion.clone().unwrap();
        assert_eq!(suspicion.rest, None);
        let same_elsewhere = mean_map(&groups[0]).unwrap();
        assert_eq!(seen(&groups, &same_elsewhere)[0].suspicion, None);
    }

    #[test]
    fn what_half_of_the_rest_does_too_is_not_suspicious() {
        // The larger cluster looks at the corner and elsewhere, so it does not hug the corner but has much of its evidence there.
        let mut both = around((0.6, 0.6), 30);
        for (map, other) in both.iter_mut().zip(around((4.5, 4.5), 30)) {
            *map = std::array::from_fn(|cell| 0.55 * map[cell] + 0.45 * other[cell]);
        }
        let corner = around((0.6, 0.6), 15);
        assert_eq!(
            flags(&[around((4.5, 4.5), 30), corner.clone()]),
            [false, true]
        );
        assert_eq!(flags(&[both, corner]), [false, false]);
    }

    #[test]
    fn clusters_at_the_same_corner_do_not_excuse_each_other() {
        let corner = |place| {
            let mut maps = around((0.5, 0.5), 20);
            for (map, other) in maps.iter_mut().zip(around(place, 20)) {
                *map = std::array::from_fn(|cell| 0.6 * map[cell] + 0.4 * other[cell]);
            }
            maps
        };
        let corners = [(5.5, 1.5), (1.5, 5.5), (5.5, 5.5)].map(corner);
        assert_eq!(flags(&corners), [true; 3]);
    }

    #[test]
    fn tiny_clusters_are_not_suspicious() {
        let of = |rest, members| flags(&[around((3.5, 3.5), rest), around((0.6, 0.6), members)])[1];
        assert!(of(100, 3));
        assert!(!of(20, 2));
        assert!(!of(160, 3), "under 2 %");
    }

    #[test]
    fn mixed_clusters_are_not_suspicious() {
        let mixed = [around((0.3, 0.3), 6), around((2.9, 2.9), 4)].concat();
        let views = seen(&[around((4.5, 4.5), 20), mixed], &FLAT);
        assert_eq!(Place::hugged_by(&views[1].mean), Some(Place::TopLeft));
        assert_eq!(views[1].suspicion, None);
    }
}
