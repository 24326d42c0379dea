//! Behind the last layer: logits, and class activation maps of the classes that will be asked about.

use candle_core::{D, DType, Device, Tensor};

use crate::model::{ClassMaps, FullyConnected};

/// So many of the most probable classes of every picture get a map. A class that is held over (`--hold`) is nearly always among them.
pub(super) const LIKELY_CLASSES: usize = 5;

/// Candle sorts rows of up to this many values on a GPU.
const MOST_SORTED: usize = 1024;

/// The fully connected layer on a device, in f32 whatever the layers before it compute in.
#[derive(Debug)]
pub(super) struct ClassHead {
    /// `[classes, channels]`.
    weight: Tensor,
    /// `[classes]`.
    bias: Tensor,
    classes: usize,
}

/// How the numbers of one picture lie in a row of the output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    classes: usize,
    /// Classes with a map.
    maps: usize,
    height: usize,
    width: usize,
}

impl ClassHead {
    /// Uploads the layer.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn new(layer: &FullyConnected, device: &Device) -> candle_core::Result<Self> {
        let classes = layer.bias.len();
        Ok(Self {
            weight: Tensor::from_slice(&layer.weight, (classes, layer.channels), device)?,
            bias: Tensor::from_slice(&layer.bias, classes, device)?,
            classes,
        })
    }

    /// `[pictures, classes]` of `[pictures, height, width, channels]`.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn logits(&self, last: &Tensor) -> candle_core::Result<Tensor> {
        self.logits_of(&last.flatten(1, 2)?.to_dtype(DType::F32)?)
    }

    /// Of `[pictures, cells, channels]`, in f32.
    fn logits_of(&self, cells: &Tensor) -> candle_core::Result<Tensor> {
        let (pictures, area, _) = cells.dims3()?;
        // The mean as a product: on an H100 candle's sum over this dimension took 44 us for 32 pictures, the larger product for the maps below 15.
        let share = Tensor::full(1.0 / area as f32, (1, 1, area), cells.device())?;
        let share = share.broadcast_as((pictures, 1, area))?;
        let pooled = share.matmul(cells)?.squeeze(1)?;
        pooled.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }

    /// One row per picture: logits, the classes that have a map, the maps. `last` is `[pictures, height, width, channels]`; `wanted` are more
    /// classes for each picture, equally many.
    ///
    /// The map of class `c` is `sum_k W[c,k] A_k` (Zhou et al., 2016, "Learning Deep Features for Discriminative Localization"): with
    /// average pooling over `Z` cells, the gradient of the logit is `W[c,k] / Z` everywhere, so that Grad-CAM is this map over `Z`.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn run(
        &self,
        last: &Tensor,
        wanted: &[&[usize]],
    ) -> candle_core::Result<(Tensor, Row)> {
        let (pictures, height, width, channels) = last.dims4()?;
        let cells = last.flatten(1, 2)?.to_dtype(DType::F32)?;
        let logits = self.logits_of(&cells)?;
        let mut row = Row {
            classes: self.classes,
            maps: 0,
            height,
            width,
        };
        if self.classes > MOST_SORTED {
            return Ok((logits, row));
        }
        let likely = LIKELY_CLASSES.min(self.classes);
        let mut chosen = logits
            .arg_sort_last_dim(false)?
            .narrow(D::Minus1, 0, likely)?;
        let more = wanted.first().map_or(0, |classes| classes.len());
        if more > 0 {
            let wanted = wanted.concat().into_iter().map(|class| class as u32);
            let wanted: Vec<u32> = wanted.collect();
            let wanted = Tensor::from_vec(wanted, (pictures, more), last.device())?;
            chosen = Tensor::cat(&[&chosen, &wanted], 1)?;
        }
        row.maps = likely + more;
        let chosen = chosen.contiguous()?;
        let weights = self.weight.index_select(&chosen.flatten_all()?, 0)?;
        let weights = weights.reshape((pictures, row.maps, channels))?;
        let maps = weights.matmul(&cells.transpose(1, 2)?)?.flatten_from(1)?;
        let output = Tensor::cat(&[&logits, &chosen.to_dtype(DType::F32)?, &maps], 1)?;
        Ok((output, row))
    }
}

impl Row {
    /// Numbers of one picture.
    pub(super) fn len(self) -> usize {
        self.classes + self.maps * (1 + self.height * self.width)
    }

    /// Logits and maps of one picture's row.
    pub(super) fn split(self, row: &[f32]) -> (Vec<f32>, ClassMaps) {
        let (logits, rest) = row.split_at(self.classes);
        let (chosen, maps) = rest.split_at(self.maps);
        let maps = ClassMaps {
            // Exact: a float holds whole numbers of up to 24 bits.
            classes: chosen.iter().map(|class| *class as usize).collect(),
            height: self.height,
            width: self.width,
            values: maps.to_vec(),
        };
        (logits.to_vec(), maps)
    }
}
