//! Activations in memory: aligned, blocked by 16 channels, with or without a border.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

use super::kernels::{BLOCK, Element, Grid, LARGEST_OUTPUT_TILE, prefer_huge_pages};
use crate::model::Activations;

/// A cache line: the alignment at which vector loads are fastest.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct CacheLine([u8; 64]);

/// Elements that begin at a cache line.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffer<E> {
    lines: Vec<CacheLine>,
    len: usize,
    element: PhantomData<E>,
}

impl<E: Element> Buffer<E> {
    pub(super) fn zeros(len: usize) -> Self {
        let lines = (len * size_of::<E>()).div_ceil(size_of::<CacheLine>());
        let mut lines = vec![CacheLine::zeroed(); lines];
        prefer_huge_pages(&mut lines);
        Self {
            lines,
            len,
            element: PhantomData,
        }
    }
}

impl<E: Element> Deref for Buffer<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl<E: Element> DerefMut for Buffer<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// Pixels of a plane, modulo 16. Planes of 56x56 or 28x28 pixels would lie multiples of the cache's sets apart, so that the
/// blocks of a pixel would push each other out of the cache; a few spare pixels behind each plane spread them over the sets.
const PLANE_REMAINDER: usize = 7;

/// A square image: `[channels / 16][side][side][16]`, with a few spare pixels between planes. With a border, `side` is larger than `size`: one pixel on all sides for
/// 3x3 windows, and zeros up to whole Winograd tiles.
#[derive(Debug, Clone)]
pub(super) struct Image<E> {
    pub(super) channels: usize,
    /// Rows and columns without the border.
    pub(super) size: usize,
    pub(super) side: usize,
    /// Elements from one block of channels to the next.
    pub(super) plane: usize,
    pub(super) data: Buffer<E>,
}

impl Image<f32> {
    /// Gives what the image holds to another of the same size, as the elements of that; the image holds anything then.
    pub(super) fn hand_over<E: Element>(&mut self, to: &mut Image<E>) {
        assert_eq!((self.channels, self.side), (to.channels, to.side));
        // Without copying, if possible.
        if let Some(to) = (to as &mut dyn Any).downcast_mut::<Self>() {
            std::mem::swap(self, to);
            return;
        }
        for (from, to) in self.data.iter().zip(to.data.iter_mut()) {
            *to = E::from_f32(*from);
        }
    }
}

impl<E: Element> Image<E> {
    pub(super) fn new(channels: usize, size: usize) -> Self {
        Self::with_side(channels, size, size)
    }

    /// The border is zero, and stays so: only the inside is ever written.
    pub(super) fn bordered(channels: usize, size: usize) -> Self {
        Self::with_side(
            channels,
            size,
            size.next_multiple_of(LARGEST_OUTPUT_TILE) + 2,
        )
    }

    fn with_side(channels: usize, size: usize, side: usize) -> Self {
        let mut pixels = side * side;
        while pixels % BLOCK != PLANE_REMAINDER {
            pixels += 1;
        }
        let plane = pixels * BLOCK;
        Self {
            channels,
            size,
            side,
            plane,
            data: Buffer::zeros(channels / BLOCK * plane),
        }
    }

    pub(super) fn blocks(&self) -> usize {
        self.channels / BLOCK
    }

    fn border(&self) -> usize {
        usize::from(self.side > self.size)
    }

    /// The pixels inside the border.
    pub(super) fn grid(&self) -> Grid {
        Grid {
            rows: self.size,
            columns: self.size,
            origin: self.border() * (self.side + 1) * BLOCK,
            row_stride: self.side * BLOCK,
            column_stride: BLOCK,
        }
    }

    /// Rows inside the border, block by block: `size * 16` elements each.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[E]> {
        let (border, length) = (self.border(), self.size * BLOCK);
        self.data
            .chunks_exact(self.plane)
            .flat_map(move |plane| {
                let rows = plane.chunks_exact(self.side * BLOCK);
                rows.skip(border).take(self.size)
            })
            .map(move |row| &row[border * BLOCK..][..length])
    }

    /// As [`rows`](Self::rows).
    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [E]> {
        let (border, length) = (self.border(), self.size * BLOCK);
        let (size, side) = (self.size, self.side);
        self.data
            .chunks_exact_mut(self.plane)
            .flat_map(move |plane| plane.chunks_exact_mut(side * BLOCK).skip(border).take(size))
            .map(move |row| &mut row[border * BLOCK..][..length])
    }

    /// Every second row and column, from the first.
    pub(super) fn subsample_into(&self, output: &mut Image<E>) {
        assert_eq!(
            (self.channels, self.size),
            (output.channels, 2 * output.size)
        );
        let rows = self.rows().step_by(2);
        for (from, to) in rows.zip(output.rows_mut()) {
            let pixels = from.chunks_exact(BLOCK).step_by(2);
            for (from, to) in pixels.zip(to.chunks_exact_mut(BLOCK)) {
                to.copy_from_slice(from);
            }
        }
    }

    /// The opposite of [`subsample_into`](Self::subsample_into): pixels between are zero.
    pub(super) fn spread_into(&self, output: &mut Image<E>) {
        assert_eq!(
            (self.channels, 2 * self.size),
            (output.channels, output.size)
        );
        output.data.fill(E::zeroed());
        let rows = output.rows_mut().step_by(2);
        for (from, to) in self.rows().zip(rows) {
            let pixels = to.chunks_exact_mut(BLOCK).step_by(2);
            for (from, to) in from.chunks_exact(BLOCK).zip(pixels) {
                to.copy_from_slice(from);
            }
        }
    }

    /// Mean over space of every channel.
    pub(super) fn channel_means(&self) -> Vec<f32> {
        let cells = (self.size * self.size) as f32;
        let mut means = vec![0.0; self.channels];
        let mut rows = self.rows();
        for means in means.chunks_exact_mut(BLOCK) {
            for row in rows.by_ref().take(self.size) {
                for pixel in row.chunks_exact(BLOCK) {
                    for (sum, value) in means.iter_mut().zip(pixel) {
                        *sum += value.to_f32();
                    }
                }
            }
            for mean in means {
                *mean /= cells;
            }
        }
        means
    }

    /// From channel by channel, the opposite of [`to_activations`](Self::to_activations).
    pub(super) fn from_activations(activations: &Activations) -> Self {
        let mut image = Self::new(activations.channels, activations.width);
        let (size, cells) = (image.size, image.size * image.size);
        let mut rows = image.rows_mut();
        for planes in activations.values.chunks_exact(BLOCK * cells) {
            let pixels = rows
                .by_ref()
                .take(size)
                .flat_map(|row| row.chunks_exact_mut(BLOCK));
            for (cell, pixel) in pixels.enumerate() {
                for (channel, value) in pixel.iter_mut().enumerate() {
                    *value = E::from_f32(planes[channel * cells + cell]);
                }
            }
        }
        drop(rows);
        image
    }

    /// Channel by channel, as the rest of the program has it.
    pub(super) fn to_activations(&self) -> Activations {
        let cells = self.size * self.size;
        let mut values = vec![0.0; self.channels * cells];
        let mut rows = self.rows();
        for output in values.chunks_exact_mut(BLOCK * cells) {
            let pixels = rows
                .by_ref()
                .take(self.size)
                .flat_map(|row| row.chunks_exact(BLOCK));
            for (cell, pixel) in pixels.enumerate() {
                for (channel, value) in pixel.iter().enumerate() {
                    output[channel * cells + cell] = value.to_f32();
                }
            }
        }
        Activations {
            channels: self.channels,
            height: self.size,
            width: self.size,
            values,
        }
    }
}
