//! Files as providers make them, and as they should not be.

use proptest::prelude::*;

use super::*;

const DAY: UnixMs = 86_400_000;
/// 2026-11-01.
const FIRST: UnixMs = 1_793_491_200_000;

fn line(day: i64, model: &str, item: &str, line_count: i64, numbers: [i64; 7]) -> Line {
    let [requests, input_tokens, cached_tokens, cache_write_tokens, output_tokens, web_searches, cost_nano] = numbers;
    let (day, model) = (FIRST + day * DAY, model.to_owned());
    let sums = LineSums {
        day,
        model,
        line_count,
        requests,
        input_tokens,
        cached_tokens,
        cache_write_tokens,
        output_tokens,
        web_searches,
        cost_nano,
    };
    Line { item: item.to_owned(), sums }
}

#[test]
fn anthropics_usage_counts_its_parts_apart() {
    let file = "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,\
        usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,\
        usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed\n\
        2026-11-01,m-1,\"App, own\",Default,standard,≤ 200k,100,20,3,4000,50,1,global,\n\
        2026-11-01,m-1,other,Default,standard,≤ 200k,1,0,0,0,2,0,global,\n\
        2026-11-02,m-1,other,Default,batch,≤ 200k,7,0,0,0,0,0,global,fast\n";
    let parsed = parse(file.as_bytes(), None).unwrap();
    assert_eq!(parsed.format, Format::Anthropic);
    let expected = [line(0, "m-1", "", 2, [0, 4124, 4000, 23, 52, 1, 0]), line(1, "m-1", "", 1, [0, 7, 0, 0, 0, 0, 0])];
    assert_eq!(parsed.lines, expected);
    assert_eq!((parsed.first_day, parsed.last_day, parsed.line_count), (FIRST, FIRST + DAY, 3));
    assert_eq!((parsed.has_tokens, parsed.has_cost, parsed.unknown_columns.len()), (true, false, 0));
}

#[test]
fn anthropics_costs_are_dollars_or_cents() {
    let file = "usage_date_utc,model,workspace,token_type,cost_usd,mood\n\
        2026-11-01,Model One,w,input_no_cache,0.25,good\n2026-11-01,Model One,w,output,1.5,good\n";
    let parsed = parse(file.as_bytes(), None).unwrap();
    let expected = [
        line(0, "Model One", "input_no_cache", 1, [0, 0, 0, 0, 0, 0, 250_000_000]),
        line(0, "Model One", "output", 1, [0, 0, 0, 0, 0, 0, 1_500_000_000]),
    ];
    assert_eq!(parsed.lines, expected);
    assert_eq!((parsed.unknown_columns, parsed.has_tokens), (vec!["mood".to_owned()], false));
    let file = "starting_at,model,description,amount,currency\n2026-11-01T00:00:00Z,m,d,123.5,USD\n";
    assert_eq!(parse(file.as_bytes(), None).unwrap().lines[0].sums.cost_nano, 1_235_000_000);
}

#[test]
fn openais_usage_includes_its_cached_tokens() {
    let file = "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,\
        input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens\n\
        1793491200,1793491260,2026-11-01T00:00:00+00:00,2026-11-01T00:01:00+00:00,p,3.0,m-2026-08-06,7162,10,1280,5882\n\
        1793491260,1793491320,2026-11-01T00:01:00+00:00,2026-11-01T00:02:00+00:00,p,1.0,m-2026-08-06,1,1,0,1\n\
        1793491320,1793491380,2026-11-01T00:02:00+00:00,2026-11-01T00:03:00+00:00,,,,,,,\n";
    let parsed = parse(file.as_bytes(), Some(Format::OpenAi)).unwrap();
    assert_eq!(parsed.lines, [line(0, "m-2026-08-06", "", 2, [4, 7163, 1280, 0, 11, 0, 0])]);
    assert_eq!((parsed.line_count, parsed.unknown_columns.len()), (3, 0));
}

#[test]
fn openais_costs_name_the_model_in_their_items() {
    let file = "\u{feff}start_time,amount_value,amount_currency,line_item\r\n\
        1793491200,0.060000000000000005,usd,\"m-1, input\"\r\n1793491200,1e-9,usd,\"m-1, cached input\"\r\n\
        1793577600,2,usd,web search tool calls\r\n";
    let parsed = parse(file.as_bytes(), None).unwrap();
    let expected = [
        line(0, "m-1", "cached input", 1, [0, 0, 0, 0, 0, 0, 1]),
        line(0, "m-1", "input", 1, [0, 0, 0, 0, 0, 0, 60_000_000]),
        line(1, "web search tool calls", "", 1, [0, 0, 0, 0, 0, 0, 2_000_000_000]),
    ];
    assert_eq!(parsed.lines, expected);
}

fn refused(file: &str, expected: &str) {
    let told = parse(file.as_bytes(), None).unwrap_err().to_string();
    assert!(told.contains(expected), "{told}");
}

#[test]
fn wrong_lines_are_named() {
    let file = "start_time,line_item,amount_value,amount_currency\n1793491200,x,1,usd\nsoon,x,1,usd\n\
        1793491200,x,much,usd\n1793491200,x\n1793491200,x,1,eur\n";
    refused(file, "4 lines are wrong: line 3: day: expected a day");
    refused(file, "line 4: amount: expected an amount such as 12.34, not 'much'");
    refused(file, "line 5: 2 fields, and the header has 4");
    refused(file, "line 6: currency: only USD can be compared, not 'eur'");
    let many = format!("start_time_iso,amount_value\n{}", "x,1\n".repeat(30));
    refused(&many, "30 lines are wrong");
    refused(&many, "and 10 more");
}

#[test]
fn what_is_no_invoice_is_refused() {
    refused("", "cannot be told");
    refused("a,b\n1,2\n", "cannot be told from the columns (a, b)");
    refused("line_item,amount_value\nx,1\n", "says the day");
    refused("start_time_iso,model\n2026-11-01,m\n", "counts tokens or says a cost");
    refused("start_time_iso,amount_value\n", "no lines");
    refused(&vec!["a"; 300].join(","), "more than 200 columns");
    assert!(matches!(parse(b"start_time_iso,amount_value\n\xff\xfe,1\n", None), Err(Fault::File(_))));
    let many: String = (0..=MAX_GROUPS).map(|n| format!("2026-11-01,item {n},1\n")).collect();
    refused(&format!("start_time_iso,line_item,amount_value\n{many}"), "in parts");
}

proptest! {
    #[test]
    fn no_file_is_too_odd(file in proptest::collection::vec(any::<u8>(), 0..200), body in "[0-9a-z,\"\n.-]{0,200}") {
        let _ = parse(&file, Some(Format::Anthropic));
        let _ = parse(format!("start_time,model,input_tokens,amount_value\n{body}").as_bytes(), Some(Format::OpenAi));
    }
}
