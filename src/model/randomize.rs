//! A network that has forgotten part of what it learnt, for the model-parameter randomisation check.

use half::{bf16, f16};
use safetensors::Dtype;

use super::weights::WeightFile;
use crate::random::Random;

impl WeightFile {
    /// The same file, its tensors that `is_random` names as they are before training: weights of convolutions and of the fully connected layer
    /// normal with the variance `2 / inputs` (He 2015), biases 0, batch normalisation the identity. In the types in which they are stored.
    #[must_use]
    pub fn randomized(&self, is_random: impl Fn(&str) -> bool, seed: u64) -> Self {
        self.rewritten(|bytes, tensors| {
            let named = tensors.iter().enumerate();
            for (stream, (name, entry)) in named.filter(|(_, (name, _))| is_random(name)) {
                let mut random = Random::new(seed, stream as u64);
                let inputs: usize = entry.shape.iter().skip(1).product();
                let deviation = (2.0 / inputs as f64).sqrt();
                let is_normalisation = entry.shape.len() == 1;
                let one = name.ends_with(".weight") || name.ends_with(".running_var");
                let mut value = || match (is_normalisation, one) {
                    (true, true) => 1.0,
                    (true, false) => 0.0,
                    (false, _) => random.normal() * deviation,
                };
                store(entry.dtype, &mut bytes[entry.bytes.clone()], &mut value);
            }
        })
    }
}

/// Fills little-endian numbers of a type that [`WeightFile::from_bytes`] lets through.
fn store(dtype: Dtype, bytes: &mut [u8], value: &mut dyn FnMut() -> f64) {
    match dtype {
        Dtype::F16 => {
            for pair in bytes.as_chunks_mut::<2>().0 {
                *pair = f16::from_f64(value()).to_le_bytes();
            }
        }
        Dtype::BF16 => {
            for pair in bytes.as_chunks_mut::<2>().0 {
                *pair = bf16::from_f64(value()).to_le_bytes();
            }
        }
        _ => {
            for quad in bytes.as_chunks_mut::<4>().0 {
                *quad = (value() as f32).to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A convolution, its bias, and the normalisation behind it, all of ones.
    fn file() -> WeightFile {
        let header = r#"{"c.weight":{"dtype":"F16","shape":[64,8,1,1],"data_offsets":[0,1024]},"c.bias":{"dtype":"F32","shape":[2],"data_offsets":[1024,1032]},"n.running_var":{"dtype":"F32","shape":[2],"data_offsets":[1032,1040]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([f16::from_f32(7.0).to_le_bytes(); 512].as_flattened());
        bytes.extend([7.0f32.to_le_bytes(); 4].as_flattened());
        WeightFile::from_bytes(bytes, "toy").unwrap()
    }

    #[test]
    fn named_tensors_are_as_before_training_and_the_others_as_they_were() {
        let file = file();
        let all = file.randomized(|_| true, 3);
        let weights = all.tensor("c.weight", &[64, 8, 1, 1]).unwrap();
        let variance = weights.iter().map(|weight| weight * weight).sum::<f32>() / 512.0;
        assert!((variance - 2.0 / 8.0).abs() < 0.05, "{variance}");
        assert_eq!(all.tensor("c.bias", &[2]).unwrap(), [0.0; 2]);
        assert_eq!(all.tensor("n.running_var", &[2]).unwrap(), [1.0; 2]);
        let same = file.randomized(|_| true, 3);
        assert_eq!(same.tensor("c.weight", &[64, 8, 1, 1]).unwrap(), weights);
        let part = file.randomized(|name| name == "c.bias", 3);
        assert_eq!(part.tensor("c.weight", &[64, 8, 1, 1]).unwrap(), [7.0; 512]);
        assert_eq!(part.tensor("c.bias", &[2]).unwrap(), [0.0; 2]);
        assert_ne!(part.sha256(), file.sha256());
    }
}
