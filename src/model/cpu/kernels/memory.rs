//! Advice to the kernel about memory. It never changes what memory holds.

use bytemuck::Pod;

/// Asks for huge pages under a fresh buffer: a pass reads 140 MB of weights, and looking up the addresses of 4 KiB pages takes
/// several per cent of its time.
pub(in crate::model::cpu) fn prefer_huge_pages<T: Pod>(memory: &mut [T]) {
    const HUGE_PAGE_BYTES: usize = 2 << 20;
    if size_of_val(memory) >= HUGE_PAGE_BYTES {
        advise(bytemuck::cast_slice(memory), Advice::HugePages);
    }
}

/// Lets the kernel take back the memory of bytes that will hardly be read again. It reads them from their file if they are.
pub(in crate::model::cpu) fn page_out(memory: &[u8]) {
    advise(memory, Advice::PageOut);
}

#[derive(Debug, Clone, Copy)]
enum Advice {
    HugePages,
    PageOut,
}

/// For the whole pages in `memory`. A kernel that does not know the advice refuses it, and nothing is lost.
#[cfg(target_os = "linux")]
fn advise(memory: &[u8], advice: Advice) {
    use rustix::mm;

    let page = rustix::param::page_size();
    let start = memory.as_ptr().align_offset(page);
    let Some(pages) = memory.get(start..) else {
        return;
    };
    let len = pages.len() / page * page;
    let advice = match advice {
        Advice::HugePages => mm::Advice::LinuxHugepage,
        Advice::PageOut => mm::Advice::LinuxPageOut,
    };
    if len > 0 {
        let address = pages.as_ptr().cast_mut().cast();
        // SAFETY: the pages are inside `memory`. Both kinds of advice are hints that keep what memory holds, so that even
        // shared references to it stay good.
        let _ = unsafe { mm::madvise(address, len, advice) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &[u8], _: Advice) {}
