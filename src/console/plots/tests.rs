use chrono::TimeDelta;

use super::{
    window::{day, hour},
    *,
};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_418_356, 0).expect("a time")
}

fn count(at: DateTime<Utc>, family: &str, count: i64) -> Count {
    Count {
        at,
        model_family: family.to_owned(),
        count,
    }
}

/// From top to bottom of the drawing.
fn is_inside(plot: &Plot) -> bool {
    let mut parts = plot.bars.iter().flat_map(|bar| &bar.parts);
    parts.all(|part| part.y.0 >= 0.0 && part.height.0 > 0.0 && part.y.0 + part.height.0 <= HEIGHT + 1.5)
}

#[test]
fn a_window_ends_with_the_hour_or_day_that_it_is_now() {
    let day = Window::last_24_hours(now());
    assert_eq!(day.steps().len(), 24);
    assert_eq!(day.until.to_rfc3339(), "2026-11-23T08:00:00+00:00");
    let month = Window::last_30_days(now());
    assert_eq!(month.steps().len(), 30);
    assert_eq!(month.until.to_rfc3339(), "2026-11-24T00:00:00+00:00");
}

#[test]
fn a_window_of_any_times_has_as_many_bars_as_can_be_told_apart() {
    let steps = |length: TimeDelta| {
        let window = Window::between(now() - length, now());
        assert!(window.until >= now() && window.until <= now() + TimeDelta::days(1));
        (window.steps().len(), window.step)
    };
    assert_eq!(steps(TimeDelta::zero()), (1, Step::Hour));
    assert_eq!(steps(TimeDelta::seconds(-5)), (1, Step::Hour));
    assert_eq!(steps(TimeDelta::hours(3)), (4, Step::Hour));
    assert_eq!(steps(TimeDelta::hours(73)), (4, Step::Day));
    assert_eq!(steps(TimeDelta::days(5_000)), (92, Step::Day));
    let exact = Window::between(day(now()), day(now()) + TimeDelta::days(10));
    assert_eq!(exact.steps().len(), 10, "before the end, not with it");
}

#[test]
fn a_bar_shows_what_each_family_asked_from_the_bottom_up() {
    let at = hour(now());
    let counts = [
        count(at, "Mac", 1),
        count(at, "iPhone", 3),
        count(at, "none", 2),
        count(at, "unknown", 2),
        count(at - TimeDelta::hours(30), "iPad", 9),
    ];
    let plot = draw(Window::last_24_hours(now()), &counts);
    assert_eq!((plot.bars.len(), plot.total), (24, 8));
    let legend: Vec<_> = plot.legend.iter().map(|entry| (entry.class, entry.count)).collect();
    assert_eq!(legend, [("iphone", 3), ("mac", 1), ("none", 4)]);
    let last = plot.bars.last().expect("a bar");
    assert_eq!(last.title, "23 Nov, 07:00: 8 requests: iPhone 3, Mac 1, Not told 4");
    assert_eq!(last.counts, [3, 1, 4]);
    let drawn: Vec<_> = last.parts.iter().map(|part| (part.class, part.y.0)).collect();
    assert_eq!(drawn, [("iphone", 126.0), ("mac", 101.0), ("none", 1.0)]);
    assert_eq!(plot.scale, ["8", "4", "0"]);
    assert_eq!(plot.bars[0].title, "22 Nov, 08:00: none");
    assert!(is_inside(&plot));
}

#[test]
fn nothing_one_and_more_than_can_be_counted_are_drawn_within_the_drawing() {
    let window = Window::last_30_days(now());
    let nothing = draw(window, &[]);
    assert!(nothing.is_empty() && nothing.legend.is_empty() && nothing.bars.len() == 30);
    let one = draw(window, &[count(day(now()), "Watch", 1)]);
    assert_eq!((one.scale.clone(), one.total), (["2", "1", "0"].map(str::to_owned), 1));
    assert!(one.bars[29].title.ends_with("1 request: Apple Watch 1") && is_inside(&one));
    let counts = FAMILIES.map(|(family, ..)| count(day(now()), family, i64::MAX));
    let huge = draw(window, &counts);
    assert_eq!(huge.total, i64::MAX);
    assert!(
        is_inside(&huge),
        "{:?}",
        huge.bars[29].parts.iter().map(|part| part.y).collect::<Vec<_>>()
    );
    let uneven = draw(
        window,
        &[count(day(now()), "Mac", 1), count(day(now()), "iPad", 3_999_999_999)],
    );
    assert!(is_inside(&uneven) && uneven.bars[29].parts.iter().all(|part| part.height.0 >= 1.0));
    assert_eq!(uneven.scale, ["4G", "2G", "0"]);
    let negative = draw(window, &[count(day(now()), "Mac", -5)]);
    assert!(negative.is_empty());
}

#[test]
fn numbers_are_short_on_the_scale_and_grouped_elsewhere() {
    for (most, end) in [
        (0, 2),
        (1, 2),
        (2, 2),
        (3, 4),
        (9, 20),
        (10, 20),
        (71, 80),
        (81, 200),
        (4_000, 4_000),
    ] {
        assert_eq!(top(most), end, "{most}");
    }
    assert_eq!(top(i64::MAX), i64::MAX);
    for (count, text) in [
        (0, "0"),
        (999, "999"),
        (2_000, "2k"),
        (1_500_000, "1.5M"),
        (3_000_000_000, "3G"),
    ] {
        assert_eq!(short(count), text);
    }
    for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")] {
        assert_eq!(grouped(count), text);
    }
}

mod colours {
    use super::FAMILIES;

    const CSS: &str = include_str!("../../../web/static/app.css");
    /// ΔE*ab (CIE 1976); two patches that lie side by side are told apart from about 5.
    const LEAST_DISTANCE: f64 = 15.0;
    /// Of what is no text (WCAG 2.2, 1.4.11).
    const LEAST_CONTRAST: f64 = 3.0;

    type Rgb = [f64; 3];

    /// Machado, Oliveira, Fernandes (2009), severity 1.0, for linear RGB.
    const SEEN: [(&str, [Rgb; 3]); 4] = [
        ("nobody", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
        ),
        (
            "deuteranopia",
            [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
        ),
        (
            "tritanopia",
            [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        ),
    ];

    /// The value of a custom property, in light and dark; the last definition counts.
    fn property(name: &str) -> [Rgb; 2] {
        let (_, rest) = CSS
            .rsplit_once(&format!("--{name}: "))
            .unwrap_or_else(|| panic!("no --{name}"));
        let value = rest.split(';').next().expect("a value");
        let inner = value.trim_start_matches("light-dark(").trim_end_matches(')');
        let mut colours = inner.split(',').map(|text| linear(text.trim()));
        let light = colours.next().expect("a colour");
        [light, colours.next().unwrap_or(light)]
    }

    fn linear(text: &str) -> Rgb {
        let digits = text.strip_prefix('#').unwrap_or_else(|| panic!("{text} is no colour"));
        [0, 2, 4].map(|at| {
            let part = u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
            let part = f64::from(part) / 255.0;
            match part <= 0.040_45 {
                true => part / 12.92,
                false => ((part + 0.055) / 1.055).powf(2.4),
            }
        })
    }

    fn contrast(one: Rgb, other: Rgb) -> f64 {
        let luminance = |[r, g, b]: Rgb| 0.2126 * r + 0.7152 * g + 0.0722 * b;
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    fn times(matrix: &[Rgb; 3], colour: Rgb) -> Rgb {
        matrix.map(|row| row.iter().zip(colour).map(|(a, b)| a * b).sum::<f64>().clamp(0.0, 1.0))
    }

    fn lab(colour: Rgb) -> Rgb {
        const XYZ: [Rgb; 3] = [
            [0.412_456_4, 0.357_576_1, 0.180_437_5],
            [0.212_672_9, 0.715_152_2, 0.072_175_0],
            [0.019_333_9, 0.119_192_0, 0.950_304_1],
        ];
        let white = [0.950_47, 1.0, 1.088_83];
        let xyz = XYZ.map(|row| row.iter().zip(colour).map(|(a, b)| a * b).sum::<f64>());
        let [x, y, z] = [0, 1, 2].map(|i| {
            let t = xyz[i] / white[i];
            if t > 0.008_856 {
                t.cbrt()
            } else {
                7.787 * t + 16.0 / 116.0
            }
        });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn two_families_are_told_apart_by_people_of_any_colour_vision() {
        for scheme in [0, 1] {
            let colours = FAMILIES.map(|(_, class, _)| (class, property(class)[scheme]));
            for (kind, matrix) in &SEEN {
                for (i, (one, a)) in colours.iter().enumerate() {
                    for (other, b) in &colours[..i] {
                        let (a, b) = (lab(times(matrix, *a)), lab(times(matrix, *b)));
                        let distance = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                        assert!(
                            distance >= LEAST_DISTANCE,
                            "{kind}, {scheme}: {one} and {other}: {distance:.1}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_family_stands_out_from_the_card_in_light_and_dark() {
        let card = property("card");
        for (_, class, _) in FAMILIES {
            for scheme in [0, 1] {
                let contrast = contrast(property(class)[scheme], card[scheme]);
                assert!(contrast >= LEAST_CONTRAST, "{class}, {scheme}: {contrast:.2}");
            }
        }
    }
}
