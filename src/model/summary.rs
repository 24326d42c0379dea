//! The layer table that Keras prints as `model.summary()`: name, output shape, parameters, connections.

use crate::model::spec::{BASE_CHANNELS, EXPANSION};
use crate::model::spec::{ModelSpec, TargetLayer};

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRow {
    /// Keras' layer name.
    pub name: String,
    /// Keras' layer type.
    pub kind: &'static str,
    /// `(height, width, channels)`, or fewer dimensions after pooling.
    pub output_shape: Vec<usize>,
    /// Number of parameters, moving statistics included.
    pub parameters: usize,
    /// Names of the layers it reads.
    pub connected_to: Vec<String>,
}

/// The rows from the input to the classifier, as Keras names and orders them.
pub fn layer_table(spec: &ModelSpec) -> Vec<LayerRow> {
    let size = spec.input_size;
    let mut table = Table::default();
    table.push("input_1", "InputLayer", &[size, size, 3], 0, &[]);
    table.push(
        "conv1_pad",
        "ZeroPadding2D",
        &[size + 6, size + 6, 3],
        0,
        &["input_1"],
    );
    table.conv("conv1_conv", size / 2, 3, BASE_CHANNELS, 7, "conv1_pad");
    table.norm("conv1_bn", size / 2, BASE_CHANNELS, "conv1_conv");
    table.relu("conv1_relu", size / 2, BASE_CHANNELS, "conv1_bn");
    let padded = size / 2 + 2;
    table.push(
        "pool1_pad",
        "ZeroPadding2D",
        &[padded, padded, BASE_CHANNELS],
        0,
        &["conv1_relu"],
    );
    let mut side = size / 4;
    table.push(
        "pool1_pool",
        "MaxPooling2D",
        &[side, side, BASE_CHANNELS],
        0,
        &["pool1_pad"],
    );

    let mut previous = "pool1_pool".to_owned();
    let mut channels = BASE_CHANNELS;
    for layer in spec.target_layers() {
        let input_side = side;
        if layer.block == 0 && layer.stage > 0 {
            side /= 2;
        }
        previous = table.block(spec, layer, (input_side, side), channels, &previous);
        channels = (BASE_CHANNELS << layer.stage) * EXPANSION;
    }
    let classes = spec.labels.len();
    table.push(
        "avg_pool",
        "GlobalAveragePooling2D",
        &[channels],
        0,
        &[&previous],
    );
    table.push(
        "predictions",
        "Dense",
        &[classes],
        (channels + 1) * classes,
        &["avg_pool"],
    );
    table.rows
}

#[derive(Default)]
struct Table {
    rows: Vec<LayerRow>,
}

impl Table {
    fn push(
        &mut self,
        name: &str,
        kind: &'static str,
        shape: &[usize],
        parameters: usize,
        inputs: &[&str],
    ) {
        self.rows.push(LayerRow {
            name: name.to_owned(),
            kind,
            output_shape: shape.to_vec(),
            parameters,
            connected_to: inputs.iter().map(|input| (*input).to_owned()).collect(),
        });
    }

    fn conv(
        &mut self,
        name: &str,
        side: usize,
        input: usize,
        output: usize,
        kernel: usize,
        from: &str,
    ) {
        let parameters = output * (input * kernel * kernel + 1);
        self.push(name, "Conv2D", &[side, side, output], parameters, &[from]);
    }

    fn norm(&mut self, name: &str, side: usize, channels: usize, from: &str) {
        self.push(
            name,
            "BatchNormalization",
            &[side, side, channels],
            4 * channels,
            &[from],
        );
    }

    fn relu(&mut self, name: &str, side: usize, channels: usize, from: &str) {
        self.push(name, "Activation", &[side, side, channels], 0, &[from]);
    }

    /// The rows of one bottleneck; returns the name of its output.
    fn block(
        &mut self,
        spec: &ModelSpec,
        layer: TargetLayer,
        (input_side, side): (usize, usize),
        input: usize,
        from: &str,
    ) -> String {
        let block = format!("conv{}_block{}", layer.stage + 2, layer.block + 1);
        let inner = BASE_CHANNELS << layer.stage;
        let outer = inner * EXPANSION;
        let inner_side = if spec.has_stride_in_1x1 {
            side
        } else {
            input_side
        };
        let name = |part: &str| format!("{block}_{part}");

        self.conv(&name("1_conv"), inner_side, input, inner, 1, from);
        self.norm(&name("1_bn"), inner_side, inner, &name("1_conv"));
        self.relu(&name("1_relu"), inner_side, inner, &name("1_bn"));
        self.conv(&name("2_conv"), side, inner, inner, 3, &name("1_relu"));
        self.norm(&name("2_bn"), side, inner, &name("2_conv"));
        self.relu(&name("2_relu"), side, inner, &name("2_bn"));
        let mut shortcut = from.to_owned();
        if layer.block == 0 {
            shortcut = name("0_bn");
            self.conv(&name("0_conv"), side, input, outer, 1, from);
        }
        self.conv(&name("3_conv"), side, inner, outer, 1, &name("2_relu"));
        if layer.block == 0 {
            self.norm(&shortcut, side, outer, &name("0_conv"));
        }
        self.norm(&name("3_bn"), side, outer, &name("3_conv"));
        self.push(
            &name("add"),
            "Add",
            &[side, side, outer],
            0,
            &[&shortcut, &name("3_bn")],
        );
        self.relu(&name("out"), side, outer, &name("add"));
        name("out")
    }
}
